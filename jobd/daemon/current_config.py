"""The configuration in force: accepted, numbered, and what the command line says beside it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jobd.config.load import load
from jobd.config.tables import LogFormat, Watch
from jobd.errors import InputError
from jobd.locate import Secret, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from jobd.clock import Clock
    from jobd.config.model import Config, Queue

Digests = dict[Secret, bytes]
"""{secret: digest of its value}: enough to tell that it changed, nothing that could be shown."""


class CurrentConfig:
    """One daemon's configuration; a reload puts another in its place."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        environ: Mapping[str, str],
        globs: Iterable[str] = (),
        redis_argument: str | None = None,
        dev: bool = False,
    ) -> None:
        """Take what the daemon starts with. `globs`, `redis_argument` and `dev` are --queue, --redis and --dev."""
        self.config = config
        self.generation = 1
        self.reloaded_at: float | None = None
        """When the last reload was through; None before the first."""
        self.environ = environ
        self.redis_argument = redis_argument
        self._globs = tuple(globs)
        self._dev = dev
        self._clock = clock
        self._digests = self._readable(config)

    def read(self, path: Path | None = None) -> Config:
        """Return the configuration as the files (or this one instead) say now; it is not in force.

        Raises:
            ConfigProblems: all that is wrong in it.
        """
        config = load(path or self.config.path, env=self.environ, redis_url=self.redis_argument)
        return for_development(config) if self._dev else config

    def selected(self, config: Config) -> dict[str, Queue]:
        """Return the queues of a configuration that this daemon runs."""
        globs = self._globs or tuple(config.daemon.queues)
        return {name: queue for name, queue in config.queues.items() if any(fnmatchcase(name, glob) for glob in globs)}

    def rotated(self, wanted: Config) -> frozenset[Secret]:
        """Return the secrets whose value is another than the one that runs.

        One that cannot be read is left out: whoever needs it says so.
        """
        now = self._readable(wanted)
        return frozenset(secret for secret, digest in now.items() if self._digests.get(secret, digest) != digest)

    def accept(self, config: Config) -> int:
        """Run by this configuration from now on; return its generation."""
        self.generation += 1
        self.renew(config)
        return self.generation

    def renew(self, config: Config) -> None:
        """Have the files as they are now, which say the same as before: no new generation."""
        self.config = config
        self._digests = self._readable(config)

    def reloaded(self) -> None:
        """A reload is through."""
        self.reloaded_at = self._clock.monotonic()

    def _readable(self, config: Config) -> Digests:
        found: Digests = {}
        for secret in _secrets(config, self.selected(config).values()):
            try:
                value = read_secret(secret, env=self.environ)
            except InputError:
                continue
            found[secret] = hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
        return found


def for_development(config: Config) -> Config:
    """Return a configuration as `run --dev` runs it: new code by itself, lines for people that also tell failed
    attempts, no waiting at the end."""
    log = config.daemon.log.model_copy(update={"format": LogFormat.TEXT})
    daemon = config.daemon.model_copy(update={"watch": Watch.CODE, "grace_ms": 0, "log": log})
    return replace(config, daemon=daemon, development=True)


def _secrets(config: Config, queues: Iterable[Queue]) -> Iterator[Secret]:
    values = [config.redis.username, config.redis.password]
    for queue in queues:
        values += queue.env.values()
    for value in values:
        if isinstance(value, Secret):
            yield value
