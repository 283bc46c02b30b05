"""What the supervisor shows and answers: plain values that cost no Redis and no waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from jobd.duration import format_duration


class DaemonState(StrEnum):
    """What the daemon as a whole is doing (field `state` of `jobd status --json`)."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    RELOADING = "reloading"
    DRAINING = "draining"


class QueueState(StrEnum):
    """What one queue of this host is doing, as far as this host knows; `paused` is Redis' to tell."""

    RUNNING = "running"
    QUIET = "quiet"
    BREAKER = "breaker"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Order:
    """A change at run time: who asked for it, when on the monotonic clock, and why (None: not said)."""

    who: str
    at: float
    why: str | None = None

    def told(self, now: float) -> str:
        """Return it in words: `by alice 5m ago: "the cdn is down"`."""
        reason = f': "{self.why}"' if self.why else ""
        return f"by {self.who} {format_duration(max(0.0, now - self.at) * 1000)} ago{reason}"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job that runs in a worker. `id` is None when it is longer than the board holds."""

    id: str | None
    name: str
    running_s: float


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker. `state`: starting, ready, quiet, draining or restarting (then `pid` is 0: there is no process).

    `why` says what is not as it should be with it, in a few words; None when nothing is.
    """

    pid: int
    queue: str
    state: str
    generation: int
    busy: int
    uptime_s: float
    memory_bytes: int
    jobs_done: int
    restarts: int
    jobs: list[JobView]
    why: str | None = None
    number: int = 0
    """Which of its queue's workers it is, from 0; its replacement has the same."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue of this host. `slots` counts workers that run; `concurrency` is one worker's.

    `why` is what the daemon knows without Redis: breaker, quiet, redis_down, no_workers or None. `note` is for people.
    `p95_ms` is the upper bound of the 95th percentile of runs since the workers started, None before the first.
    """

    name: str
    state: QueueState
    why: str | None
    concurrency: int
    slots: int
    busy: int
    workers: list[WorkerView]
    note: str | None
    done_per_min: int
    p95_ms: float | None
    memory_bytes: int
    redis_up: bool
    """No worker of it says that Redis is away."""


class Mark(StrEnum):
    """How a step of a plan begins its line."""

    NEW = "+"
    REMOVED = "-"
    CHANGED = "~"
    SAME = " "


class Action(StrEnum):
    """What a step of a plan does."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"
    IN_PLACE = "in place"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a plan. `queue` is "" for what belongs to no queue; `keys` are the changed keys of the file.

    `schedule` names the schedule that the line is about, "" for all others.
    """

    mark: Mark
    queue: str
    what: str
    how: str
    action: Action
    keys: tuple[str, ...] = ()
    schedule: str = ""


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a reload did. `interrupted` counts jobs that were stopped for it (0 by design); `notes` are for people."""

    generation: int
    took_s: float
    steps: list[Step]
    interrupted: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoppedJob:
    """A job named when the daemon stops. `times` is how often it was handed back, this time included."""

    queue: str
    id: str
    name: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class StopReport:
    """How a stop ended: jobs that finished while it waited, jobs that went back to their queues."""

    finished: int
    handed_back: list[StoppedJob]
