"""The messages between daemon, template and worker (docs/internals.md).

Each is a frozen dataclass; `encode` makes the JSON object, `decode` reads one. Durations are milliseconds, moments
CLOCK_MONOTONIC seconds unless a name says otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import signal
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from jobd.engine.backoff import Backoff
from jobd.engine.job import Keep, KeyLimit
from jobd.errors import ProtocolError
from jobd.protocol.from_json import build, hints

STACKS_SIGNAL = signal.SIGQUIT
"""A worker prints the stacks of its threads at this signal, also when its loop does not turn."""

Mode = Literal["async", "thread", "process"]


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Which Redis: a URL without its password, and how the keys are prefixed."""

    url: str
    prefix: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """A handler and what bounds one attempt of it. `path` is `module:attribute`."""

    path: str
    mode: Mode | None = None
    timeout_ms: int | None = None
    kill_after_ms: int | None = None
    expire_ms: int | None = None
    attempts: int = 1
    attempts_max: int | None = None
    backoff: Backoff | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a running worker can take over in place."""

    concurrency: int
    lock_ms: int
    keep_completed: Keep
    keep_failed: Keep
    limiter_max: int | None
    limiter_duration_ms: int | None
    unknown: Literal["fail", "retry"]
    default: HandlerSpec | None
    """Who gets the job names that `jobs` does not list; None: nobody, such a job fails."""
    jobs: dict[str, HandlerSpec]
    attempts: int = 1
    """This, `attempts_max` and `backoff` hold for jobs nobody handles; a handler's spec has its own."""
    attempts_max: int | None = None
    backoff: Backoff | None = None
    per_key: KeyLimit | None = None
    batch_max: int | None = None
    """Most jobs of one call of a handler, which then gets a list; None: a call for each job."""
    batch_wait_ms: int = 0
    dead_letter: str | None = None
    """The queue that gets a copy of what fails for good."""
    log_output_bytes: int | None = None
    """How much of what an attempt prints goes to its job's log; None: nothing."""

    @property
    def most(self) -> int:
        """How many jobs may run at once: `concurrency` counts calls."""
        return self.concurrency * (self.batch_max or 1)


# --- daemon and template ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandlerUse:
    """A handler as a queue uses it; `mode` is None where the file leaves it to the kind of function.

    `batch`: it gets a list of jobs.
    """

    path: str
    mode: Mode | None = None
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """The first message to a template. `handlers` is empty when preload is off."""

    version: str
    layout: int
    path: list[str]
    env: dict[str, str]
    handlers: list[HandlerUse]
    extras: list[str]
    """Other things to import and check: setup, teardown, wrap."""
    redis: RedisTarget
    """What a client made at import belongs to: address and prefix, no secrets. A worker learns the rest by Start."""


@dataclass(frozen=True, slots=True)
class HandlerReport:
    """What importing one handler gave: `mode` when it is usable, else `kind` and `message`.

    `wanted` and `batch` are how it was to be used. `kind`: import, attribute, signature or mode. `suggestion` is the
    nearest name; `searched` the folders of `path`.
    """

    path: str
    ok: bool
    mode: Mode | None = None
    kind: str | None = None
    message: str | None = None
    suggestion: str | None = None
    searched: list[str] = field(default_factory=list)
    traceback: str | None = None
    wanted: Mode | None = None
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A template is ready to fork. `unsafe` says why it must not be forked (threads, open connections), naming it."""

    version: str
    layout: int
    pid: int
    handlers: list[HandlerReport]
    unsafe: str | None
    notices: list[str]
    files: dict[str, int]
    """Files of imported modules under `path`, with their mtime in ns: to tell that code changed."""
    shapes: str = ""
    """`shapes()` of its jobd: two builds of one version may not understand each other."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Fork a worker called `worker`; beside it: its socket end, its board, its output pipe."""

    worker: str


@dataclass(frozen=True, slots=True)
class Forked:
    """The worker runs; beside it: its pidfd."""

    worker: str
    pid: int


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """No worker came to be."""

    worker: str
    error: str


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker of this template is gone. `status` is as waitpid gives it."""

    worker: str
    pid: int
    status: int


# --- daemon and worker -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The first message to a worker: get ready, and take nothing until Resume."""

    worker: str
    """Its part of the token."""
    name: str
    """`<host>:<queue>`: the worker adds its pid, for Redis and dashboards (`pb` of its jobs)."""
    queue: str
    token_prefix: str
    redis: RedisTarget
    numbers: Numbers
    setup: str | None
    teardown: str | None
    wrap: list[str]
    nice: int | None
    on_failed: str | None = None
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    tell_failures: bool = False
    """Print the traceback of each failed attempt, for whoever writes handlers; it may show job data."""
    env: dict[str, str] = field(default_factory=dict)
    """Variables that differ from worker to worker; the others are the template's."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Handlers are loaded, `setup` has run, Redis was asked (it may be away: `redis_up`)."""

    redis_up: bool


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The worker cannot work and exits. `stage`: import or setup."""

    stage: Literal["import", "setup"]
    reason: str
    handler: str | None = None


@dataclass(frozen=True, slots=True)
class Quiet:
    """Take nothing more; what runs goes on."""


@dataclass(frozen=True, slots=True)
class Quieted:
    """No take is in flight and none will follow."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Take again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """New numbers in place."""

    numbers: Numbers


@dataclass(frozen=True, slots=True)
class UseRedis:
    """Open connections with these credentials from now on; the server is the same."""

    redis: RedisTarget


@dataclass(frozen=True, slots=True)
class AskRedis:
    """Redis refused the credentials: what are they now? UseRedis is the answer."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Quiet, finish what runs, send the results, exit 0."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Send the results in hand, cancel what runs, exit 0 within `patience_ms`."""

    patience_ms: int = 500


@dataclass(frozen=True, slots=True)
class Cancel:
    """One job must not go on. It is named by slot, id and ats, so a late message hits nobody else."""

    slot: int
    job_id: str
    ats: int
    why: Literal["lock-lost", "cancelled"]
    reason: str = ""
    """The failedReason of a cancelled one."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The daemon has failed a job for good, its worker being dead: `on_failed` is to hear of it.

    `data` and `opts` are the JSON as it lay in Redis; bytes that are not UTF-8 stand as surrogates. `attempts_made`
    does not count the run that ended so. `kind` is what ended it.
    """

    job_id: str
    name: str
    kind: Literal["crashed", "timed-out", "cancelled"]
    reason: str
    """Its failedReason."""
    data: str | None
    opts: str | None
    timestamp: int
    priority: int
    attempts_made: int
    attempts_started: int
    parent_key: str | None


@dataclass(frozen=True, slots=True)
class EndedHeard:
    """`on_failed` has returned for the job of a JobEnded."""

    job_id: str
    attempts_started: int


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """Send the stacks of all threads and tasks."""


@dataclass(frozen=True, slots=True)
class Stacks:
    """Stacks as text."""

    text: str


@dataclass(frozen=True, slots=True)
class RedisState:
    """The worker lost Redis, or has it again; `up` with a trouble: what jobs want written is refused, turns go on."""

    up: bool
    error: str | None = None
    trouble: str | None = None
    """What is wrong, a word of engine.trouble.Trouble; with `up` what jobs want written is refused. None: nothing."""


Message = (
    Load | Loaded | Fork | Forked | ForkFailed | Exited
    | Start | Ready | StartFailed | Quiet | Quieted | Resume | Settings | UseRedis | AskRedis | Drain | Stop | Cancel
    | JobEnded | EndedHeard | DumpStacks | Stacks | RedisState
)  # fmt: skip

_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(Message)}
T = TypeVar("T")


def encode(message: Message) -> dict[str, Any]:
    """Return the JSON object of a message."""
    return {"type": type(message).__name__, **dataclasses.asdict(message)}


def decode(body: dict[str, Any]) -> Message:
    """Return the message of a JSON object.

    Raises:
        ProtocolError: unknown type, a missing or unknown field, a value of the wrong shape.
    """
    fields = dict(body)
    name = fields.pop("type", None)
    kind = _TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ProtocolError(f"unknown message type {name!r}")
    return typing.cast(Message, build(kind, fields, kind.__name__))


def expect(body: dict[str, Any], kind: type[T]) -> T:
    """Return the message of a JSON object that must be a `kind`. Raises ProtocolError as `decode`."""
    message = decode(body)
    if not isinstance(message, kind):
        raise ProtocolError(f"expected {kind.__name__}, got {type(message).__name__}")
    return message


_PARTS = (RedisTarget, Backoff, Keep, KeyLimit, HandlerSpec, Numbers, HandlerUse, HandlerReport)
"""What messages are made of."""


def warm_up() -> None:
    """Work out the shapes of all messages now rather than at their first use; forks of this process have them."""
    for kind in (*_TYPES.values(), *_PARTS):
        hints(kind)


def shapes() -> str:
    """Return a digest of all messages' members: equal where each side understands the other."""
    told = [
        (kind.__name__, [(f.name, f.type) for f in dataclasses.fields(kind)]) for kind in (*_TYPES.values(), *_PARTS)
    ]
    return hashlib.sha256(repr(sorted(told)).encode()).hexdigest()[:12]
