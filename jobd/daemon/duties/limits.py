"""Write the queue-wide limits of the file into Redis, where every worker of every language obeys them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.engine.admin import set_global_concurrency
from jobd.engine.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.fleet import Fleet
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

TICK_S = 0.5


class Limits(Duty):
    """`global_concurrency` is written once for each value the file gives it; dropping the key leaves Redis as it is."""

    name = "limits"

    def __init__(self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str | None], None]) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner
        self._written: dict[str, int | None] = {}

    async def run_once(self) -> float:
        """Write what differs from what was written last."""
        for pool in list(self._fleet.pools.values()):
            limit = pool.queue.global_concurrency
            if limit is not None and self._written.get(pool.name) != limit:
                keys = Keys(self._fleet.source.prefix, pool.name)
                await self._runner.run(set_global_concurrency(keys, limit))
                log.info("global concurrency set", queue=pool.name, limit=limit)
            self._written[pool.name] = limit
        return TICK_S
