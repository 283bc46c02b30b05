"""Documents of jobs."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict


class Children(TypedDict):
    """The children of a job in a flow."""

    pending: Annotated[list[str], "keys (`prefix:queue:id`) of those it waits for, at most 20"]
    pending_count: int
    completed_count: int
    failed: Annotated[list[str], "keys of those that failed, at most 20"]
    failed_count: int


class Added(TypedDict):
    """The result of an add."""

    id: str
    queue: str
    name: str
    duplicate: Annotated[bool, "a job with this id existed; nothing was added"]
    deduplicated: Annotated[bool, "a job with this deduplication id existed; `id` is its id"]
    event_id: Annotated[str, "to wait for the job, read the queue's events from here on"]


class JobAdded(TypedDict):
    """The job that was added, or that existed already."""

    job: Added


class Job(TypedDict):
    """A job as stored in Redis."""

    id: str
    name: str
    queue: str
    state: Annotated[str, "waiting, prioritized, delayed, active, completed, failed, waiting-children or unknown"]
    data: Any
    opts: dict[str, Any]
    attempts_made: int
    attempts_started: int
    crashes: Annotated[int, "how often it was lost: its worker died, or its lock ran out (BullMQ's stc)"]
    priority: int
    delay_ms: int
    timestamp: Annotated[int, "when it was added"]
    processed_at: Annotated[int | None, "when it last started"]
    finished_at: int | None
    result: Any
    failed_reason: str | None
    stacktrace: list[str]
    progress: Any
    worker: Annotated[str | None, "who ran it last"]
    parent_key: str | None
    broken: Annotated[list[str], "fields whose text is invalid; it is returned as it is"]
    cut: Annotated[
        dict[str, int], "members too long to be sent, with their bytes: null or empty, of a reason the first 64 kB"
    ]
    due_at: NotRequired[Annotated[int | None, "when a delayed job is due; this one and the next only in `job.show`"]]
    lock_ms: NotRequired[Annotated[int | None, "time left on the lock of an active job; null without a lock"]]
    log_lines: NotRequired[int]
    deferred_failure: NotRequired[
        Annotated[str | None, "the worker that takes it fails it with this, without running it"]
    ]
    handed_back: NotRequired[Annotated[int, "how often a stop returned it unfinished, the attempt not counted"]]
    children: NotRequired[Children]


class JobList(TypedDict):
    """Jobs, state by state: next to run first, newest finished first.

    One that was asked for with `after` has the last two as well. It ends after `limit` jobs that fit (50 without), or
    after a thousand or more that were looked at: then it may be short, and the next one goes on from there.
    """

    jobs: list[Job]
    more: Annotated[bool, "there are more matches: ask again with `offset`, or with `after` and the next member"]
    next: NotRequired[Annotated[str | None, "where the next page begins; null after the last"]]
    looked: NotRequired[Annotated[int, "jobs that were examined for this page"]]


class JobShown(TypedDict):
    """One job."""

    job: Job


class JobLogs(TypedDict):
    """What a job logged."""

    lines: Annotated[list[str], "the newest 1,000, oldest first"]


class Bulk(TypedDict):
    """What was done to many jobs; with `dry_run` what would be done."""

    done: int
    gone: Annotated[int, "jobs that were gone or changed before their turn came"]
    ids: Annotated[list[str], "the first 1,000 of those done"]


class Cancelled(Bulk):
    """What happened to cancelled jobs."""

    running: Annotated[int, "those of `done` that are running: they are asked to stop"]


class Changed(TypedDict):
    """What was changed about a job."""

    id: str
    changed: Annotated[list[str], "of delay, priority, data"]


class JobWaited(TypedDict):
    """How a job ended, or its present state."""

    ended: Annotated[bool, "false: not within the timeout; ask again, with `event_id`"]
    state: Annotated[str, "completed or failed when it ended, else where it is"]
    result: Annotated[Any, "what the handler returned"]
    failed_reason: str | None
    event_id: Annotated[str, "an event from before its end"]
    cut: Annotated[dict[str, int], "a result too long to be sent, with its size in bytes; `result` is null then"]
