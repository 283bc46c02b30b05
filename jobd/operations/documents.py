"""The documents that operations return, as JSON has them: those of the daemon, its queues and workers.

There is one type from where a document is made to where it is printed. Those of jobs and of schedules lie beside.

Durations in seconds end in `_s`, in milliseconds in `_ms`; moments are milliseconds since 1970 and end in `_at` (the
job's own `timestamp`, which is BullMQ's word, too). What could not be read from Redis is null, never 0.
"""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict


class Hello(TypedDict):
    """Who answers."""

    protocol: Annotated[int, "number of the protocol of this socket"]
    version: Annotated[str, "jobd's version"]
    pid: int


class RunningJob(TypedDict):
    """A job that a worker runs now."""

    id: Annotated[str | None, "null when the id is longer than the board can hold"]
    name: str
    running_s: float


class Worker(TypedDict):
    """One worker process."""

    pid: Annotated[int, "0 while it is being restarted"]
    queue: str
    state: Annotated[str, "starting, ready, quiet, draining or restarting"]
    generation: Annotated[int, "the configuration it started with"]
    busy: Annotated[int, "jobs it runs"]
    uptime_s: float
    memory_bytes: int
    jobs_done: int
    restarts: int
    jobs: list[RunningJob]
    why: Annotated[str | None, "what is wrong with it, in a few words; null when nothing is"]


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


class ConfigFile(TypedDict):
    """The file in force."""

    path: str
    changed_on_disk: Annotated[bool, "the files differ from what is in force"]
    changed_s: NotRequired[Annotated[float, "how long ago, if known"]]


class Code(TypedDict):
    """The handlers' code."""

    changed_on_disk: Annotated[bool, "imported files changed since they were imported"]


class RedisState(TypedDict):
    """What Redis said within 300 ms."""

    url: Annotated[str, "password as ***"]
    up: bool
    latency_ms: float | None
    embedded: Annotated[bool, "the private server that the daemon runs"]
    version: str | None
    origin: Annotated[str, "where the URL comes from"]
    error: Annotated[str | None, "why it is not up, or why part of it could not be read"]


class LastReload(TypedDict):
    """How the last reload ended, whoever asked for it."""

    by: str
    at_ms: int
    applied: bool
    error: str | None
    generation: Annotated[int, "the one in force afterwards"]
    interrupted: Annotated[int, "jobs interrupted so far because their worker was replaced"]


class Status(TypedDict):
    """The whole daemon."""

    state: Annotated[str, "starting, ready, degraded, reloading or draining"]
    degraded_by: Annotated[list[str], 'what is not as it should be, such as "reports: breaker"']
    pid: int
    host: str
    version: str
    uptime_s: float
    generation: Annotated[int, "number of the configuration in force"]
    reloaded_s: Annotated[float | None, "seconds since it came into force; null before the first reload"]
    incarnation: Annotated[str, "id of this start"]
    config: ConfigFile
    code: Code
    redis: RedisState
    drift: Annotated[list[str], "what was changed at run time and differs from the file, a line each"]
    strangers: Annotated[list[str], "daemons that serve these queues with another file or version, a line each"]
    last_reload: LastReload | None
    queues: list[Queue]


class Health(TypedDict):
    """Whether it runs and consumes."""

    state: str
    live: Annotated[bool, "its event loop ran in the last 10 s"]
    ready: Annotated[bool, "every queue that is not paused or quiet is served"]
    why: Annotated[str | None, "what keeps it from being live or ready"]


class Step(TypedDict):
    """One line of a plan."""

    mark: Annotated[str, '"+" new, "-" removed, "~" changed, " " unchanged']
    queue: Annotated[str, "empty for a step that belongs to no queue"]
    schedule: Annotated[str, "the schedule it is about; else empty"]
    what: str
    how: str
    action: Annotated[str, "add, remove, replace, in place, keep or refuse"]
    keys: Annotated[list[str], "the changed keys of the file"]


class Plan(TypedDict):
    """What a reload would do."""

    generation: int
    next_generation: int
    changes: bool
    steps: list[Step]
    notes: Annotated[list[str], "what `reload` leaves unchanged, such as newer code on disk"]


class Reloaded(TypedDict):
    """What a reload did."""

    generation: int
    took_s: float
    steps: list[Step]
    interrupted: Annotated[int, "jobs that it interrupted"]
    notes: list[str]


class HandedBack(TypedDict):
    """A job that went back to its queue, the attempt not counted."""

    queue: str
    id: str
    name: str
    times: Annotated[int, "how often it was handed back so far, this time included"]


class Stopped(TypedDict):
    """How the daemon's jobs ended when it stopped."""

    finished: Annotated[int, "jobs that finished while it waited"]
    handed_back: list[HandedBack]


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


class Scaled(TypedDict):
    """A queue's number of workers."""

    queue: str
    workers: int
    was: int


class WorkerList(TypedDict):
    """The workers of this host."""

    workers: list[Worker]


class ConfigEntry(TypedDict):
    """One key of the configuration."""

    key: str
    value: Annotated[str, "as TOML; secrets as ***"]
    origin: Annotated[str, "the place it comes from"]


class ConfigShown(TypedDict, total=False):
    """The configuration in force: one of the two."""

    toml: Annotated[str, "the whole as one text"]
    entries: Annotated[list[ConfigEntry], "with `origin`"]


class LogLine(TypedDict):
    """One line of the daemon's log; besides these members it has the event's own."""

    time: Annotated[str, "in UTC, ISO 8601"]
    level: Annotated[str, "debug, info, warning or error"]
    event: Annotated[str, "the fixed phrase; `output` is what a handler printed"]
    queue: str | None
    pid: Annotated[int | None, "the worker's, when the line is about one"]
    job: Annotated[str | None, "for a printed line, when only one job ran"]
    line: Annotated[str | None, "what was printed"]


class LogLines(TypedDict):
    """Lines of the daemon's log."""

    lines: Annotated[list[LogLine], "oldest first"]
    cursor: Annotated[int, "the value of `after` for the next request"]
    more: Annotated[bool, "there are more by now"]
    missed: Annotated[int, "lines after the cursor that are no longer kept"]


class Subscribed(TypedDict):
    """How a subscription ended."""

    entries: Annotated[int, "how many were sent"]
    ended: Annotated[str, "limit: `limit` entries were sent; stopping: the daemon stops; gone: the client has left"]


class NumbersText(TypedDict):
    """The numbers of a daemon."""

    text: Annotated[str, "in Prometheus' text format"]
    content_type: str


class QueueEvent(TypedDict):
    """An event of a queue as BullMQ writes it; besides these members it has the stream's own, which are strings."""

    time: Annotated[str, "Redis's clock, in UTC, ISO 8601"]
    queue: str
    event: str
    jobId: Annotated[str | None, "null for an event of the queue as a whole"]


class QueueEvents(TypedDict):
    """Events of queues."""

    events: Annotated[list[QueueEvent], "in order of time"]
    after: Annotated[dict[str, str], "the value of `after` for the next request: the last id of each queue's stream"]
    more: Annotated[bool, "there are more by now"]
