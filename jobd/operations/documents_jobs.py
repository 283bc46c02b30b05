"""Documents of jobs, beside those of documents.py; units and moments are as there."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from jobd.operations.documents_children import Children


class Added(TypedDict):
    """What came of an add."""

    id: str
    queue: str
    name: str
    duplicate: Annotated[bool, "a job of this id was there; nothing was added"]
    deduplicated: Annotated[bool, "a job of this deduplication id was there; `id` is its id"]
    event_id: Annotated[str, "whoever waits for the job reads the queue's events from here on"]


class JobAdded(TypedDict):
    """The job that was added, or that was there."""

    job: Added


class Job(TypedDict):
    """A job as it lies in Redis."""

    id: str
    name: str
    queue: str
    state: Annotated[str, "waiting, prioritized, delayed, active, completed, failed, waiting-children or unknown"]
    data: Any
    opts: dict[str, Any]
    attempts_made: int
    attempts_started: int
    crashes: Annotated[int, "workers that died with it"]
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
    broken: Annotated[list[str], "fields whose text is not what it should be; it stands there as it is"]
    cut: Annotated[
        dict[str, int], "members too long to be sent, with their bytes: null or empty, of a reason the first 64 kB"
    ]
    due_at: NotRequired[Annotated[int | None, "when a delayed one is due; this and the next in `job.show` only"]]
    lock_ms: NotRequired[Annotated[int | None, "how long the lock of an active one lives; null without a lock"]]
    log_lines: NotRequired[int]
    deferred_failure: NotRequired[Annotated[str | None, "whoever takes it fails it with this, without running it"]]
    handed_back: NotRequired[Annotated[int, "how often a stop gave it back unfinished, the attempt not counted"]]
    children: NotRequired[Children]


class JobList(TypedDict):
    """Jobs, state by state: next to run first, newest finished first.

    One that was asked for with `after` has the last two as well. It ends after `limit` jobs that fit (50 without), or
    after a thousand or more that were looked at: then it may be short, and the next one goes on from there.
    """

    jobs: list[Job]
    more: Annotated[bool, "there are more that fit: ask again with `offset`, or with `after` and the next member"]
    next: NotRequired[Annotated[str | None, "where the next page begins; null behind the last"]]
    looked: NotRequired[Annotated[int, "jobs that were looked at for this page"]]


class JobShown(TypedDict):
    """One job."""

    job: Job


class JobLogs(TypedDict):
    """What a job logged."""

    lines: Annotated[list[str], "the newest 1,000, oldest first"]


class Bulk(TypedDict):
    """What was done to many jobs; with `dry_run` what would be done."""

    done: int
    gone: Annotated[int, "jobs that had left before their turn came"]
    ids: Annotated[list[str], "the first 1,000 of those done"]
