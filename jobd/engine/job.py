"""The job record, and what a turn carries: finishes in, taken jobs out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobd.engine.states import Outcome, State


@dataclass(frozen=True, slots=True)
class Keep:
    """How many finished jobs of a set stay. All None: every one; count 0: this one is deleted at once.

    `age_s` is in seconds, as in BullMQ's removeOnComplete / removeOnFail; `limit` bounds one trim by age.
    """

    count: int | None = None
    age_s: int | None = None
    limit: int | None = None


KEEP_ALL = Keep()
KEEP_NONE = Keep(count=0)


@dataclass(slots=True)
class Taken:
    """A job this worker has taken and locked, as it lay in Redis at that moment.

    `token` is complete (`<incarnation>:<worker>:<ats>`) and goes back with the finish. `data` and `opts` are the JSON
    bytes as stored; reading them is the taker's business, since a payload can be broken. Text fields are None when the
    hash has none. `name` is None for an id without a hash (a foreign bug: docs/wire-format.md, "Traps").
    """

    id: str
    token: str
    name: str | None
    data: bytes | None
    opts: bytes | None
    timestamp: int
    delay_ms: int
    priority: int
    attempts_made: int
    attempts_started: int
    crashes: int
    deduplication_id: str | None
    parent_key: str | None
    scheduler_id: str | None
    deferred_failure: str | None
    stacktrace: bytes | None
    suspect: bool
    """Lost a worker together with others; was taken alone and must run alone."""
    key: bytes | None = None
    """What it counts for in the queue's limit per key, as the take said; goes back with the finish."""


@dataclass(slots=True)
class Finish:
    """How one attempt of one job ended.

    `value` is the returnvalue as JSON (completed) or the failedReason as plain text (failed, retry). `stacktrace` is
    the whole new JSON array, None to leave it. `keep` is used by completed and failed. `attempts` is the effective
    number of tries, for the event retries-exhausted. `lifo` puts a RETRY without delay at the front. `made` is the
    job's attempts_made when it was taken: with it a plain completion goes the short way; None lets the script read.
    `key` is that of the take: without it the job's place among those of its key stays taken until its lock is missed.
    """

    job_id: str
    token: str
    outcome: Outcome
    value: bytes = b"null"
    stacktrace: bytes | None = None
    delay_ms: int = 0
    keep: Keep = KEEP_ALL
    attempts: int = 0
    lifo: bool = False
    deduplication_id: str | None = None
    made: int | None = None
    suspect: bool = False
    child: bool = False
    key: bytes | None = None
    dead_letter: str | None = None
    """The queue that gets a copy, of a job that fails for good."""


@dataclass(frozen=True, slots=True)
class Limiter:
    """At most `max` jobs started per `duration_ms`, shared by all workers everywhere (BullMQ's limiter)."""

    max: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class KeyLimit:
    """At most `max` jobs at once that have the same JSON text at `path`, over all jobd hosts.

    `path` is names joined by dots: into the data, or into the options when it begins with "opts.".
    """

    path: str
    max: int


@dataclass(slots=True)
class TurnRequest:
    """One turn: finish these, take up to `take`.

    `busy` is how many jobs run in this worker beside those being finished: a suspect is only taken when it is 0.
    With `clock_ms` the turn is sent ahead of its time, behind a wait: the time is then Redis' clock plus that.
    """

    now_ms: int
    lock_ms: int
    token_prefix: str
    worker_name: str
    finishes: list[Finish] = field(default_factory=list)
    take: int = 0
    busy: int = 0
    limiter: Limiter | None = None
    clock_ms: int | None = None
    per_key: KeyLimit | None = None


@dataclass(slots=True)
class TurnReply:
    """What a turn brought. `codes` has one entry per finish, in order (codes.Code).

    `limited_ms`: the limiter is reached, ask again after that long. `next_due_ms`: wall time of the first delayed
    job. `blocked`: the queue is paused or at its global concurrency. `suspects_skipped`: jobs that wait to run alone
    were passed over because this worker is busy.
    """

    codes: list[int]
    jobs: list[Taken]
    limited_ms: int | None = None
    next_due_ms: int | None = None
    blocked: bool = False
    suspects_skipped: bool = False


@dataclass(slots=True)
class JobRecord:
    """A job as it lies in Redis, read for people: every field of its hash, parsed where it parses.

    `broken` names the fields whose text is not what BullMQ would have written (`["data"]`); their raw text stands in
    the field then, so that a reader sees what is there and nothing raises. `cut` has {member: its bytes} of what was
    too long for whoever asked: None, {} or [] stands there, or the beginning of a text.
    """

    id: str
    queue: str
    state: State
    name: str
    data: Any
    opts: dict[str, Any]
    timestamp: int
    delay_ms: int
    priority: int
    attempts_made: int
    attempts_started: int
    crashes: int
    processed_at: int | None
    finished_at: int | None
    result: Any
    failed_reason: str | None
    stacktrace: list[str]
    progress: Any
    worker: str | None
    parent_key: str | None
    scheduler_id: str | None
    deduplication_id: str | None
    broken: list[str]
    cut: dict[str, int] = field(default_factory=dict)
    deferred_failure: str | None = None
    """Whoever takes it fails it with this text, without running it."""
    size: int = 0
    """Bytes of its fields, as far as they were read."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did with one job of a dead worker. `failed`: over max_crashes; else it waits again."""

    job_id: str
    failed: bool
    suspect: bool
