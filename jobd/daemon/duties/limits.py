"""Keep the queue-wide limits of the file in Redis, where every worker of every language obeys them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty, raise_refusal
from jobd.daemon.logs import event_log
from jobd.engine.admin import global_concurrency, set_global_concurrency
from jobd.engine.keys import Keys
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

LOOK_S = 2.0
"""How often Redis is asked what it has: FLUSHALL, a restored backup, `obliterate` or a person may have changed it."""


class Limits(Duty):
    """`global_concurrency` of the file is what Redis has; dropping the key leaves Redis as it is."""

    name = "limits"

    def __init__(self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str, str | None], None]) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner
        self._written: dict[str, int] = {}
        self._look_at = 0.0

    async def run_once(self) -> float:
        """Write what the file says and Redis does not have, as far as it is time to look."""
        now = self._fleet.clock.monotonic()
        limited = {pool.name: limit for pool, limit in self._limited()}
        asked = sorted(limited) if now >= self._look_at else [n for n in limited if self._written.get(n) != limited[n]]
        self._written = {name: limit for name, limit in self._written.items() if name in limited}
        if asked:
            found = await self._runner.run_each([global_concurrency(self._keys(name)) for name in asked])
            known = {name: had for name, had in zip(asked, found, strict=True) if not isinstance(had, RedisRefused)}
            wrong = [(name, had) for name, had in known.items() if had != limited[name]]
            await self._runner.run_many([set_global_concurrency(self._keys(name), limited[name]) for name, _ in wrong])
            for name, had in wrong:
                self._tell(name, had, limited[name])
            self._written |= {name: limited[name] for name in known}
            raise_refusal(found)
        if not limited:
            return NOTHING_DUE_S
        if now >= self._look_at:
            self._look_at = now + LOOK_S
        return self._look_at - now

    def _tell(self, name: str, had: int | None, limit: int) -> None:
        if self._written.get(name) == limit:
            log.warning("global concurrency was changed in Redis, set again", queue=name, found=had, limit=limit)
        else:
            log.info("global concurrency set", queue=name, limit=limit)

    def _limited(self) -> Iterator[tuple[Pool, int]]:
        for pool in self._fleet.pools.values():
            if pool.queue.global_concurrency is not None:
                yield pool, pool.queue.global_concurrency

    def _keys(self, name: str) -> Keys:
        return Keys(self._fleet.source.prefix, name)
