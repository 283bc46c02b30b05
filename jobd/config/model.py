"""The frozen configuration: what the daemon runs by once a file was read, checked and accepted.

The fields have the names of their keys in the file, except that durations end in `_ms` and sizes in `_bytes`; their
aliases are the keys, so that an error names what the person wrote. A key that was not written has its built-in value;
`model_fields_set` tells the two apart, and that is how presets and defaults are laid under a queue (resolve.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from jobd.config.fields import (
    Choice,
    Count,
    Duration,
    FileMode,
    FilePath,
    Filled,
    Flag,
    Handler,
    KeepRule,
    Number,
    Share,
    Size,
    SomeDuration,
    Table,
    Text,
    TextOrSecret,
    Whole,
)
from jobd.engine.backoff import Backoff
from jobd.engine.job import KEEP_ALL
from jobd.engine.outcome_policy import DEFAULT_BACKOFF as ENGINE_DEFAULT
from jobd.errors import ConfigError, InputError
from jobd.locate import RedisSource, Secret, drop_ins, read_secret, run_socket, state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.origins import FileRead, Origins
    from jobd.config.problems import Problem


MAX_SLOTS = 1024
"""A worker's board has this many slots."""


MAX_WORKERS = 1000
"""Of one queue. jobd is designed for about 100 on a machine; a slip of the keyboard must not start a million."""


class Mode(StrEnum):
    """How a slot runs its handler; without one it follows from the function."""

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


class Unknown(StrEnum):
    """What becomes of a job whose name nobody handles."""

    FAIL = "fail"
    RETRY = "retry"


class Watch(StrEnum):
    """What the daemon reloads by itself when files change."""

    OFF = "off"
    CONFIG = "config"
    CODE = "code"


class LogFormat(StrEnum):
    """How log lines look; `auto` decides by where they go."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"
    JOURNAL = "journal"


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class BackoffType(StrEnum):
    """How the delay of attempt n follows from the delay of the first."""

    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class BackoffTable(Table):
    """The delay before the next attempt. `jitter` is the share of the delay that is random, 0 to 1."""

    type: Annotated[BackoffType, Choice()]
    delay_ms: Duration = Field(alias="delay")
    max_ms: SomeDuration | None = Field(default=None, alias="max")
    jitter: Share = 0.0

    def rule(self) -> Backoff:
        """Return it as the engine works with it."""
        return Backoff(self.type.value, self.delay_ms, self.jitter, self.max_ms)


DEFAULT_BACKOFF = BackoffTable.model_construct(
    type=BackoffType(ENGINE_DEFAULT.kind), delay=ENGINE_DEFAULT.delay_ms, max=ENGINE_DEFAULT.max_ms,
    jitter=ENGINE_DEFAULT.jitter,
)  # fmt: skip
"""Used when `attempts` comes from the file and no backoff does: 50 jobs that fail together do not return together."""


class RateLimit(Table):
    """At most `max` jobs started per `duration_ms`, by all workers everywhere."""

    max: Count
    duration_ms: SomeDuration = Field(alias="duration")


class Breaker(Table):
    """The `crashes`-th exit of a queue's workers within `within_ms` holds the queue back for `retry_ms`."""

    crashes: Count = 5
    within_ms: SomeDuration = Field(default=60_000, alias="within")
    retry_ms: SomeDuration = Field(default=60_000, alias="retry")


class Recycle(Table):
    """When a worker is replaced by a fresh one; any of the three."""

    jobs: Count | None = None
    age_ms: SomeDuration | None = Field(default=None, alias="age")
    memory_bytes: Size | None = Field(default=None, alias="memory")


class JobHandler(Table):
    """Who runs the jobs of one name. None: as the queue says."""

    handler: Handler
    timeout_ms: SomeDuration | None = Field(default=None, alias="timeout")
    attempts: Count | None = None
    backoff: BackoffTable | None = None


class ProcessKeys(Table):
    """Where and how user code runs; in [app] for all workers, in a queue for its own."""

    env: dict[str, TextOrSecret] = Field(default_factory=dict, repr=False)
    path: list[FilePath] = Field(default_factory=lambda: [Path()])
    python: FilePath | None = None
    working_dir: FilePath | None = None
    nice: Annotated[int, Whole(-20, 19)] | None = None
    preload: Flag = True
    setup: Handler | None = None
    teardown: Handler | None = None
    wrap: list[Handler] = Field(default_factory=list)
    on_failed: Handler | None = None


class App(ProcessKeys):
    """The [app] table. In a loaded configuration `path`, `python` and `working_dir` are absolute."""

    name: Filled = "jobd"


class RedisSettings(Table):
    """The [redis] table; `jobd.locate` decides which source wins."""

    url: Filled | None = Field(default=None, repr=False)
    embedded: Flag = False
    username: TextOrSecret | None = None
    password: TextOrSecret | None = Field(default=None, repr=False)
    prefix: Filled = "bull"
    embedded_port: Annotated[int, Whole(1, 65535)] | None = None
    server: FilePath | None = None
    socket_mode: FileMode = "0600"


class LogSettings(Table):
    """Where `log = { … }` of [daemon] is read into."""

    format: Annotated[LogFormat, Choice()] = LogFormat.AUTO
    level: Annotated[LogLevel, Choice()] = LogLevel.INFO


class DaemonSettings(Table):
    """The [daemon] table. Paths are absolute in a loaded configuration."""

    grace_ms: Duration = Field(default=25_000, alias="grace")
    watch: Annotated[Watch, Choice()] = Watch.OFF
    log: LogSettings = LogSettings()
    queues: list[Filled] = Field(default_factory=lambda: ["*"])
    socket: FilePath | None = None
    state_dir: FilePath | None = None
    socket_group: Filled | None = None
    status_group: Filled | None = None

    @property
    def log_format(self) -> LogFormat:
        """How log lines look."""
        return self.log.format

    @property
    def log_level(self) -> LogLevel:
        """The least important line that is still written."""
        return self.log.level


class QueueKeys(ProcessKeys):
    """Every key of a queue that [defaults] and presets may hold as well, with its built-in value."""

    workers: Annotated[int, Whole(1, MAX_WORKERS)] = 1
    concurrency: Annotated[int, Whole(1, MAX_SLOTS)] = 1
    mode: Annotated[Mode, Choice()] | None = None
    attempts: Count = 1
    attempts_max: Count | None = None
    backoff: BackoffTable | None = None
    timeout_ms: SomeDuration | None = Field(default=None, alias="timeout")
    kill_after_ms: Duration = Field(default=10_000, alias="kill_after")
    expire_ms: SomeDuration | None = Field(default=None, alias="expire")
    rate_limit: RateLimit | None = None
    global_concurrency: Count | None = None
    keep_completed: KeepRule = KEEP_ALL
    keep_failed: KeepRule = KEEP_ALL
    lock_duration_ms: SomeDuration = Field(default=30_000, alias="lock_duration")
    stalled_interval_ms: SomeDuration = Field(default=30_000, alias="stalled_interval")
    max_crashes: Number = 1
    breaker: Breaker | None = Breaker()
    dead_letter: Filled | None = None
    recycle: Recycle | None = None
    memory_max_bytes: Size | None = Field(default=None, alias="memory_max")
    quiet: Flag = False
    job_log_output_bytes: Size | None = Field(default=None, alias="job_log_output")
    unknown: Annotated[Unknown, Choice()] = Unknown.FAIL
    handler: Handler | None = None
    jobs: dict[str, JobHandler] = Field(default_factory=dict)


class QueueTable(QueueKeys):
    """A table of [queues] as written."""

    preset: Filled | None = None


class Queue(QueueKeys):
    """One queue as it runs: its own keys, over its preset's, over [defaults], over [app], over what is built in.

    `written` holds the names in the file (TOML keys) that some level of the file gave a value. `backoff` is None only
    when neither it nor `attempts` is in the file: then what the job says holds.
    """

    name: Text
    preset: str | None = None
    written: frozenset[str] = frozenset()

    @property
    def levels(self) -> list[tuple[str | int, ...]]:
        """The tables that a key of this queue may come from, the nearest first."""
        preset: list[tuple[str | int, ...]] = [("presets", self.preset)] if self.preset else []
        return [("queues", self.name), *preset, ("defaults",), ("app",)]


class Schedule(Table):
    """A BullMQ job scheduler of [schedules]; exactly one of `cron` and `every_ms`."""

    queue: Filled
    name: Filled | None = None
    cron: Filled | None = None
    every_ms: SomeDuration | None = Field(default=None, alias="every")
    timezone: Filled = "UTC"
    data: Any = None


@dataclass(frozen=True)
class Config:
    """One accepted configuration. Nothing in it changes; a reload makes another.

    `path` is the main file, absolute; `files` all that were read, the main file first. `queues` holds every queue of
    the file by name; which of them this daemon runs is `daemon.queues`. `defaults` and `presets` are as written, for
    showing; the queues have them in already.
    """

    path: Path
    app: App
    redis: RedisSettings
    daemon: DaemonSettings
    defaults: QueueKeys
    presets: dict[str, QueueKeys]
    queues: dict[str, Queue]
    schedules: dict[str, Schedule]
    files: tuple[FileRead, ...]
    warnings: tuple[Problem, ...] = ()
    secret_names: frozenset[str] = frozenset()
    """Variables that hold secrets of this configuration: they are not passed on to workers."""
    origins: Origins = field(repr=False, compare=False, kw_only=True)

    def origin_path(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """Return where a queue's value was written: in its own table, its preset, [defaults] or [app]."""
        queue = self.queues.get(str(path[1])) if len(path) > 2 and path[0] == "queues" else None
        places = [(*level, *path[2:]) for level in queue.levels] if queue else []
        return next((place for place in places if self.origins.written(place)), path)

    def place(self, path: tuple[str | int, ...]) -> str:
        """Return where the value at `path` (("queues", "email", "handler")) comes from: "jobd.toml:6:12"."""
        return self.origins.place(self.origin_path(path))

    def problem_at(self, path: tuple[str | int, ...], message: str, hint: str | None = None) -> Problem:
        """Return a problem placed at the value at `path`, or at the nearest table that holds it."""
        return self.origins.problem_at(self.origin_path(path), message, hint)

    @property
    def name(self) -> str:
        """How messages call the main file: "jobd.toml"."""
        return self.path.name

    def changed_on_disk(self) -> bool:
        """Tell whether a file that was read changed or went, or a drop-in came, since this was loaded."""
        if {file.path for file in self.files} != {self.path, *drop_ins(self.path)}:
            return True
        return any(file.changed() for file in self.files)

    def redis_source(self, env: Mapping[str, str]) -> RedisSource | None:
        """Return the Redis that this configuration names, its secrets read now; None when it is embedded.

        Raises:
            ConfigError: a secret cannot be read.
        """
        if self.redis.url is None:
            return None
        return RedisSource(
            self.redis.url,
            self._read("username", self.redis.username, env),
            self._read("password", self.redis.password, env),
            self.redis.prefix,
            self.redis_origin,
        )

    def _read(self, key: str, secret: str | Secret | None, env: Mapping[str, str]) -> str | None:
        try:
            return None if secret is None else read_secret(secret, env=env)
        except InputError as error:
            text = str(self.problem_at(("redis", key), str(error)))
            raise ConfigError(text, [text]) from None

    @property
    def redis_origin(self) -> str:
        """Why this Redis: "jobd.toml:3", "$JOBD_REDIS_URL" or "--redis"."""
        origin, _ = self.origins.find(("redis", "url"))
        return origin.name if origin.entry is None else f"{origin.name}:{origin.entry.key.line}"

    def control_socket(self, explicit: str | None, env: Mapping[str, str]) -> Path:
        """Return the control socket that `jobd run` makes for this configuration. `explicit` is --socket."""
        return run_socket(explicit, config=self.path, written=self.daemon.socket, env=env)

    def state_folder(self, env: Mapping[str, str]) -> Path:
        """Return the folder that `jobd run` keeps its state in."""
        return state_dir(config=self.path, written=self.daemon.state_dir, env=env)


__all__ = [
    "DEFAULT_BACKOFF",
    "App",
    "BackoffTable",
    "BackoffType",
    "Breaker",
    "Config",
    "DaemonSettings",
    "JobHandler",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "Mode",
    "Queue",
    "QueueKeys",
    "QueueTable",
    "RateLimit",
    "Recycle",
    "RedisSettings",
    "Schedule",
    "Secret",
    "Unknown",
    "Watch",
]
