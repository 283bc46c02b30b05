"""Write BullMQ's metrics: how many jobs ended for good in each minute, as bull-board's charts and `getMetrics` read it.

The workers count on their boards, so it costs a job nothing; what is counted is added every few seconds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.engine.keys import Keys
from jobd.engine.metrics import Finals, count_finals
from jobd.errors import RedisRefused, RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobd.daemon.counters import Counters
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.worker_state import Worker
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

TICK_S = 5.0
"""How long an ended job may be missing in the metrics; what a daemon has not written when it is killed, is lost."""

_MINUTE_MS = 60_000
_LAST_S = 1.0


class Metrics(Duty):
    """Each job counts once, in the minute it ended in, as long as this daemon is not killed itself."""

    name = "metrics"

    def __init__(
        self, fleet: Fleet, runner: AsyncRunner, counters: Counters, source: str,
        on_redis: Callable[[str, str | None], None],
    ) -> None:  # fmt: skip
        """`source` names this start of the daemon among all that count."""
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner
        self._counters = counters
        self._source = source
        self._known: dict[str, Finals] = {}
        self._most: dict[str, int] = {}
        self._looked_at_ms = fleet.clock.now_ms()

    async def run_once(self) -> float:
        """Add what has ended since the last time; the next look is at the end of the minute at the latest."""
        now_ms = self._fleet.clock.now_ms()
        at_ms = now_ms
        if now_ms // _MINUTE_MS != self._looked_at_ms // _MINUTE_MS:
            # What ended since the last look did so before this minute: the look comes at once when it begins.
            at_ms = now_ms // _MINUTE_MS * _MINUTE_MS - 1
        for pool in self._fleet.all_pools():
            most_ms = pool.queue.metrics_ms
            self._most[pool.name] = 0 if most_ms is None else -(-most_ms // _MINUTE_MS)
        news = dict(self._news())
        await self._runner.run_many([
            count_finals(
                Keys(self._fleet.source.prefix, queue), self._source, finals, self._known.get(queue, Finals()),
                at_ms=at_ms, most=self._most[queue],
            )
            for queue, finals in news.items()
            if self._most.get(queue)
        ])  # fmt: skip
        self._known |= news
        self._looked_at_ms = now_ms
        return min(TICK_S, (_MINUTE_MS - now_ms % _MINUTE_MS) / 1000)

    async def last_words(self) -> None:
        """Add what is left, the workers being gone; a Redis that is away is not waited for."""
        try:
            await asyncio.wait_for(self.run_once(), _LAST_S)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            log.warning("last metrics are lost", error=str(error))

    def _news(self) -> Iterator[tuple[str, Finals]]:
        workers: dict[str, list[Worker]] = {pool.name: [] for pool in self._fleet.all_pools()}
        for pool, worker in self._fleet.workers():
            workers.setdefault(pool.name, []).append(worker)
        for queue in workers.keys() | set(self._counters.queues()):
            finals = self._counters.of(queue).finals(workers.get(queue, ()))
            if finals != self._known.get(queue, Finals()):
                yield queue, finals
