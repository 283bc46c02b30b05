"""The frozen configuration: what the daemon runs by once a file was read, checked and accepted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.config.tables import (
    DEFAULT_BACKOFF,
    App,
    BackoffTable,
    BackoffType,
    Breaker,
    DaemonSettings,
    JobHandler,
    LogFormat,
    LogLevel,
    LogSettings,
    Mode,
    QueueKeys,
    QueueTable,
    RateLimit,
    Recycle,
    RedisSettings,
    Schedule,
    Unknown,
    Watch,
    WebSettings,
)
from jobd.config.values import Text
from jobd.errors import ConfigError, InputError
from jobd.locate import RedisSource, Secret, drop_in_folder, drop_ins, read_secret, run_socket, state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.origins import FileRead, Origins
    from jobd.config.problems import Problem


class Queue(QueueKeys):
    """One queue as it runs: its own keys, over its preset's, over [defaults], over [app], over what is built in.

    `written` holds the names in the file (TOML keys) that some level of the file gave a value. `backoff` is None only
    when neither it nor `attempts` is in the file: then what the job says holds.
    """

    name: Text
    preset: str | None = None
    written: frozenset[str] = frozenset()

    @property
    def workers(self) -> int:
        """How many workers it begins with."""
        return self.scaling.min

    @property
    def jobs_at_once(self) -> int:
        """How many jobs one worker may run at once: `concurrency` counts calls."""
        return self.concurrency * (self.batch.max if self.batch else 1)

    @property
    def levels(self) -> list[tuple[str | int, ...]]:
        """The tables that a key of this queue may come from, the nearest first."""
        preset: list[tuple[str | int, ...]] = [("presets", self.preset)] if self.preset else []
        return [("queues", self.name), *preset, ("defaults",), ("app",)]

    @property
    def dead_letters_to(self) -> str | None:
        """The queue that gets copies of failed jobs; one that [defaults] names for all has none itself."""
        return None if self.dead_letter == self.name else self.dead_letter


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
    web: WebSettings = field(default_factory=WebSettings)
    development: bool = False
    """Run with --dev."""
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

    def changed_at(self) -> float | None:
        """Return when the latest of the changes that `changed_on_disk` tells of was made, as seconds since 1970.

        A drop-in that went has left its time in its folder. None where no file can be asked.
        """
        read = {file.path: file for file in self.files}
        places = [path for path in self.watched_files() if path not in read or read[path].changed()]
        if any(path != self.path and not path.exists() for path in read):
            places.append(drop_in_folder(self.path))
        times = []
        for path in places:
            with suppress(OSError):
                times.append(path.stat().st_mtime)
        return max(times, default=None)

    def watched_files(self) -> list[Path]:
        """Return the files that a load would read now: the main one and its drop-ins."""
        return [self.path, *drop_ins(self.path)]

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
    "WebSettings",
]
