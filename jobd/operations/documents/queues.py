"""Documents of queues."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from jobd.operations.documents.workers import Worker


class RateLimit(TypedDict):
    """BullMQ's limit of a queue, as stored in Redis."""

    max: int
    duration_ms: int | None


class QueueCounts(TypedDict):
    """How many jobs are in each state; null when Redis could not be asked."""

    waiting: int | None
    prioritized: int | None
    delayed: int | None
    active: int | None
    completed: int | None
    failed: int | None


class Queue(QueueCounts):
    """A queue that this host runs."""

    name: str
    state: Annotated[str, "running, paused, quiet, breaker or draining"]
    why: Annotated[
        str | None,
        "why it takes no job: paused, rate_limited, maxed, no_workers, breaker, quiet, redis_down or nothing_due",
    ]
    note: Annotated[str | None, "the state in words"]
    concurrency: Annotated[int, "slots of one worker"]
    slots: Annotated[int, "slots of all workers that run"]
    busy: Annotated[int, "slots in use"]
    oldest_waiting_s: Annotated[float | None, "age of the job that runs next; null when none waits"]
    longest_active_s: float | None
    done_per_min: Annotated[int, "runs that ended in the last minute"]
    p95_ms: Annotated[float | None, "95% of the runs were not longer; null before the first"]
    memory_bytes: int
    paused_by: str | None
    paused_at: int | None
    paused_why: str | None
    workers: list[Worker]


class QueueRow(QueueCounts):
    """A queue as Redis knows it; with what this host knows of it, when it runs the queue."""

    name: str
    state: Annotated[str, "running or paused; for a queue of this host as in `status`"]
    why: Annotated[str | None, "why no job of it is taken, as far as known; as in `status`"]
    oldest_waiting_s: Annotated[float | None, "age of the job that runs next; null when none waits"]
    paused_by: str | None
    paused_at: int | None
    paused_why: str | None
    fault: NotRequired[Annotated[str, "a key of a wrong type and what mends it: the counts are not known"]]
    waiting_children: NotRequired[Annotated[int, "jobs that wait for their children"]]
    global_concurrency: NotRequired[Annotated[int | None, "jobs that may be active anywhere; null without a limit"]]
    rate_limit: NotRequired[RateLimit | None]
    note: NotRequired[str | None]
    concurrency: NotRequired[int]
    slots: NotRequired[int]
    busy: NotRequired[int]
    longest_active_s: NotRequired[float | None]
    done_per_min: NotRequired[int]
    p95_ms: NotRequired[float | None]
    memory_bytes: NotRequired[int]
    workers: NotRequired[list[Worker]]


class QueueState(TypedDict):
    """A queue and what it does now."""

    name: str
    state: str


class QueueStates(TypedDict):
    """The queues of this host."""

    queues: list[QueueState]


class OwnQueue(TypedDict):
    """A queue of this host."""

    queue: Queue


class QueueList(TypedDict):
    """Queues by name."""

    queues: list[QueueRow]


class QueueShown(TypedDict):
    """One queue."""

    queue: QueueRow


class QueueMetrics(TypedDict):
    """BullMQ's metrics of a queue: the jobs that completed, or that failed for good, by the minute they ended in."""

    count: Annotated[int, "since it was first counted"]
    data: Annotated[list[int], "jobs of each minute that is over, the latest first"]
    previous_count: Annotated[int, "`count` when the latest minute of `data` was over"]
    previous_at: Annotated[int, "when that was; 0 for never"]


class QueueDetails(QueueShown):
    """One queue with what `queue.list` has no room for."""

    priorities: Annotated[
        dict[str, int], 'how many jobs wait with each priority, "0" those without one; the first 100 priorities'
    ]
    metrics: Annotated[dict[str, QueueMetrics], "of completed and of failed jobs, where somebody counts"]


class OrphansRemoved(TypedDict):
    """What was left of jobs and was deleted; with `dry_run` what would be."""

    removed: Annotated[int, "jobs that were in no state any more, or of which only some keys were left"]
    ids: Annotated[list[str], "the first 1,000 of them"]


class Scaled(TypedDict):
    """A queue's number of workers."""

    queue: str
    workers: int
    was: int


class Cleared(TypedDict):
    """What was deleted of a queue; with `dry_run` what would be."""

    removed: Annotated[int, "jobs"]
    before: Annotated[dict[str, int], "how many jobs were in each state"]
    after: Annotated[dict[str, int], "how many are now"]


class QueueReset(TypedDict):
    """A queue that is not held back any more."""

    queue: str
    was: Annotated[str | None, "what held it back; null when nothing did"]
