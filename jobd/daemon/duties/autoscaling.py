"""Once a second: ask how long jobs wait in the queues whose number of workers moves, and change that number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty
from jobd.daemon.logs import event_log
from jobd.daemon.processes.autoscale import Load
from jobd.daemon.processes.place import PlaceState
from jobd.engine.keys import Keys
from jobd.engine.reading import QueueFacts, queue_facts_or_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

TICK_S = 1.0


class Autoscaling(Duty):
    """Looks at each queue with `workers = { min, max }` that nobody scaled by hand."""

    name = "autoscaling"

    def __init__(self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str, str | None], None]) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner

    async def run_once(self) -> float:
        """Ask Redis once for all of them, then decide."""
        pools = [pool for pool in self._fleet.pools.values() if pool.queue.scaling.moves and pool.scaled_to is None]
        if not pools:
            return NOTHING_DUE_S
        keys = [Keys(self._fleet.source.prefix, pool.name) for pool in pools]
        found = await self._runner.run_many([queue_facts_or_fault(key) for key in keys])
        now_ms, now = self._fleet.clock.now_ms(), self._fleet.clock.monotonic()
        for pool, facts in zip(pools, found, strict=True):
            if not isinstance(facts, QueueFacts):
                continue  # its workers tell that a key is of a wrong type
            was = pool.wanted
            if pool.is_open and pool.autoscale.look(load_of(pool, facts, now_ms), now):
                log.info("autoscaled", queue=pool.name, was=was, workers=pool.wanted, why=pool.autoscale.why)
                pool.fill()
        return TICK_S


def load_of(pool: Pool, facts: QueueFacts, now_ms: int) -> Load:
    """Return what the decision needs to know of a queue."""
    waiting = facts.counts["waiting"] + facts.counts["prioritized"]
    oldest = facts.oldest_waiting_at
    limited = facts.limited_ms is not None or (
        facts.concurrency is not None and facts.counts["active"] >= facts.concurrency
    )
    busy = sum(worker.board.busy for worker in pool.workers() if worker.board is not None)
    last = pool.places.get(pool.wanted)
    last_worker = last.worker if last is not None else None
    is_idle = last_worker is not None and last_worker.board is not None and last_worker.board.busy == 0
    return Load(
        workers=pool.wanted,
        all_ready=all(place.state is PlaceState.READY for place in pool.places.values()),
        waiting=waiting,
        oldest_wait_s=None if oldest is None else max(0.0, (now_ms - oldest) / 1000),
        last_is_idle=is_idle and busy <= (pool.wanted - 1) * pool.queue.concurrency,
        may_help=not (facts.paused or limited or pool.is_quiet or pool.withheld or pool.hold.is_on),
    )
