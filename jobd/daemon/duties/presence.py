"""Show this daemon to the others on its Redis, and notice those that run something else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

from jobd import __version__
from jobd.daemon.duties.duty import Duty
from jobd.engine.hosts import HostSign, read_signs, show_sign, sign_names, take_signs_away
from jobd.errors import RedisRefused, RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobd.config.model import Config
    from jobd.daemon.supervisor import Supervisor
    from jobd.engine.runner import AsyncRunner

TICK_S = 5.0

_GOODBYE_S = 1.0
"""How long the end waits for Redis; without it the sign runs out by itself."""


class Presence(Duty):
    """Every few seconds: here I am. Keeps what it read of the others for `status`."""

    name = "presence"

    def __init__(
        self, supervisor: Supervisor, runner: AsyncRunner, on_redis: Callable[[str, str | None], None]
    ) -> None:
        super().__init__(on_redis)
        self._supervisor = supervisor
        self._runner = runner
        self._since = supervisor.clock.now_ms()
        self._generation = 0
        self._next_at = 0.0
        self.others: list[HostSign] = []

    async def run_once(self) -> float:
        """Show this daemon, read the others, and forget who is gone."""
        now = self._supervisor.clock.monotonic()
        if now < self._next_at and self._generation == self._supervisor.generation:
            return 1.0
        own, prefix = self._sign(), self._prefix
        await self._runner.run_many(show_sign(prefix, own))
        names = await self._runner.run(sign_names(prefix))
        signs = await self._runner.run_many(read_signs(prefix, names))
        gone = [name for name, sign in zip(names, signs, strict=True) if sign is None]
        await self._runner.run_many(take_signs_away(prefix, gone))
        self.others = [sign for sign in signs if sign is not None and sign.id != own.id]
        self._generation, self._next_at = own.generation, now + TICK_S
        return 1.0

    async def stop(self) -> None:
        """End, and take the sign away."""
        await super().stop()
        with contextlib.suppress(TimeoutError, RedisUnavailable, RedisRefused):
            async with asyncio.timeout(_GOODBYE_S):
                await self._runner.run_many(take_signs_away(self._prefix, [self._supervisor.incarnation]))

    def strangers(self) -> list[str]:
        """Return one line for each other daemon that serves queues of this one by another file or version."""
        return unlike(self._sign(), self.others)

    @property
    def _prefix(self) -> str:
        return self._supervisor.fleet.source.prefix

    def _sign(self) -> HostSign:
        supervisor = self._supervisor
        return HostSign(
            id=supervisor.incarnation,
            app=supervisor.config.app.name,
            pid=os.getpid(),
            host=os.uname().nodename,
            version=__version__,
            generation=supervisor.generation,
            queues=tuple(sorted(supervisor.fleet.pools)),
            since=self._since,
            config=digest_of(supervisor.config),
            now=supervisor.clock.now_ms(),
        )


def digest_of(config: Config) -> str:
    """Return a short digest of the text of a configuration's files: the same on every host that has the same ones."""
    texts = "".join(f"{file.name}\0{file.digest}\0" for file in config.files)
    return hashlib.sha256(texts.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def unlike(own: HostSign, others: Iterable[HostSign]) -> list[str]:
    """Return what differs of daemons that share an app and a queue with this one, a line each."""
    lines = []
    for other in others:
        if other.app != own.app or not {*other.queues} & {*own.queues}:
            continue
        differs = []
        if other.version != own.version:
            differs.append(f"version {other.version}")
        if other.config != own.config:
            differs.append("another file")
        if differs:
            lines.append(f"{other.host} (pid {other.pid}) runs {' and '.join(differs)} on the same queues")
    return lines
