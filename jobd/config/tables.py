"""Every table of the file as pydantic reads it, key by key: type, built-in value, meaning, example.

The fields have the names of their keys in the file, except that durations end in `_ms` and sizes in `_bytes`; their
aliases are the keys, so that an error names what the person wrote. A key that was not written has its built-in value;
`model_fields_set` tells the two apart, and that is how presets and defaults are laid under a queue (resolve.py).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from jobd.config.scaling import Scaling, WorkersValue
from jobd.config.values import (
    Choice,
    Count,
    Duration,
    FileMode,
    FilePath,
    Filled,
    Flag,
    Handler,
    HttpAddress,
    KeepRule,
    KeyPath,
    Moment,
    Number,
    Share,
    Size,
    SomeDuration,
    Table,
    TextOrSecret,
    Whole,
)
from jobd.engine.backoff import Backoff
from jobd.engine.job import KEEP_ALL
from jobd.engine.options import MAX_PRIORITY
from jobd.engine.outcome_policy import DEFAULT_BACKOFF as ENGINE_DEFAULT

MAX_SLOTS = 1024
"""A worker's board has this many slots."""

METRICS_MS = 14 * 86_400_000
"""How far back metrics go: BullMQ's `MetricsTime.TWO_WEEKS`; some 40 kB of Redis for a queue that always has work."""


class Mode(StrEnum):
    """How a slot runs its handler; without one it follows from the function."""

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


class Loop(StrEnum):
    """Which event loop a worker runs on."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


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


class Batch(Table):
    """One call of the handler for up to `max` jobs; after the first it waits up to `wait_ms` for more."""

    max: Annotated[int, Whole(1, MAX_SLOTS)]
    wait_ms: Duration = Field(default=0, alias="wait")


class PerKey(Table):
    """At most `concurrency` jobs at once whose data, or options, have the same value at `key`."""

    key: KeyPath
    concurrency: Count


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
    loop: Annotated[Loop, Choice()] = Loop.ASYNCIO
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
    http: HttpAddress | None = None

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

    scaling: Annotated[Scaling, WorkersValue()] = Field(default=Scaling(), alias="workers")
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
    per_key: PerKey | None = None
    batch: Batch | None = None
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
    metrics_ms: SomeDuration | None = Field(default=METRICS_MS, alias="metrics")
    unknown: Annotated[Unknown, Choice()] = Unknown.FAIL
    handler: Handler | None = None
    jobs: dict[str, JobHandler] = Field(default_factory=dict)


class QueueTable(QueueKeys):
    """A table of [queues] as written."""

    preset: Filled | None = None


class Overlap(StrEnum):
    """What a run of a schedule does whose predecessor is not through."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"


class CatchUp(StrEnum):
    """What becomes of a run that nobody took when it was due."""

    ONCE = "once"
    NONE = "none"


class Schedule(Table):
    """A BullMQ job scheduler of [schedules]; exactly one of `cron` and `every_ms`."""

    queue: Filled
    name: Filled | None = None
    cron: Filled | None = None
    every_ms: SomeDuration | None = Field(default=None, alias="every")
    timezone: Filled = "UTC"
    data: Any = None
    priority: Annotated[int, Whole(0, MAX_PRIORITY)] = 0
    limit: Count | None = None
    start_at: Annotated[int | None, Moment()] = Field(default=None, alias="start")
    end_at: Annotated[int | None, Moment()] = Field(default=None, alias="end")
    offset_ms: Duration | None = Field(default=None, alias="offset")
    immediately: Flag = False
    overlap: Annotated[Overlap, Choice()] = Overlap.ALLOW
    catch_up: Annotated[CatchUp, Choice()] = CatchUp.ONCE
    jitter_ms: Duration = Field(default=0, alias="jitter")


class WebSettings(Table):
    """What `jobd web` shows; read by the page, the daemon only hands it on."""

    hide: list[Filled] = Field(default_factory=list)
    listen: Filled | None = None


class TreeSource(PydanticBaseSettingsSource):
    """The only source: variables and files were merged before, with the origin of every value."""

    def __init__(self, settings_cls: type[BaseSettings], tree: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the tree has for one field."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the tree."""
        return self._tree


class Settings(BaseSettings):
    """Every table of the file, as written; presets and defaults are not yet laid under the queues."""

    model_config = SettingsConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)

    app: App = App()
    redis: RedisSettings = RedisSettings()
    daemon: DaemonSettings = DaemonSettings()
    defaults: QueueKeys = QueueKeys()
    presets: dict[str, QueueKeys] = Field(default_factory=dict)
    queues: dict[str, QueueTable] = Field(default_factory=dict)
    schedules: dict[str, Schedule] = Field(default_factory=dict)
    web: WebSettings = WebSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the tree that `of` was given, and nothing else."""
        tree = init_settings.init_kwargs["tree"] if isinstance(init_settings, InitSettingsSource) else {}
        return (TreeSource(settings_cls, tree),)

    @classmethod
    def of(cls, tree: dict[str, Any]) -> Settings:
        """Return the tree as settings.

        Raises:
            pydantic.ValidationError: with every value that does not fit.
        """
        return cls(tree=tree)  # type: ignore[call-arg]
