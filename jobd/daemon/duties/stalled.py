"""Look for jobs whose lock was lost by workers of other hosts.

BullMQ's stalled check: docs/wire-format.md, "Locks and stalled jobs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty, raise_refusal
from jobd.daemon.logs import event_log
from jobd.engine.inspect import server_time
from jobd.engine.keys import Keys
from jobd.engine.locks import check_stalled
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

REFUSED_S = 0.25
"""Until the next try of a queue whose locks could not be renewed, or that is due at once."""

STEP_S = 1.0
"""A clock of Redis that is this much before where it should be was set forward: locks that live may seem lost."""

UNNOTICED_S = 7.0
"""For so long Redis may be away before anybody here knows: the probe asks every 2 s and waits 5 s for the answer."""


class Stalled(Duty):
    """Every `stalled_interval` of each queue, first at the start. Redis keeps several hosts from doing it at once."""

    name = "stalled"

    def __init__(
        self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str, str | None], None],
        renew: Callable[[Collection[str]], Awaitable[set[str]]], last_outage: Callable[[], tuple[float, float]],
    ) -> None:  # fmt: skip
        """`renew` renews what workers of this host hold of some queues; it returns those of which Redis refused it.

        `last_outage` says when Redis came back last (monotonic) and how many seconds it was away.
        """
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner
        self._renew = renew
        self._last_outage = last_outage
        self._due: dict[str, float] = {}
        self._redis_ahead_s: float | None = None
        self._stepped_at: float | None = None

    async def run_once(self) -> float:
        """Check the queues that are due, in one round trip."""
        now = self._fleet.clock.monotonic()
        pools = [pool for pool in self._fleet.pools.values() if self._due.get(pool.name, 0.0) <= now]
        if pools:
            await self._watch_clock()
            # After an outage that outlived the locks, this look would be the first: at jobs that run here, and at
            # results that wait for their turn.
            refused = await self._renew({pool.name for pool in pools})
            pools = [pool for pool in pools if pool.name not in refused]
            found = await self._runner.run_each(
                [
                    check_stalled(
                        Keys(self._fleet.source.prefix, pool.name),
                        now_ms=self._fleet.clock.now_ms(),
                        interval_ms=pool.queue.stalled_interval_ms,
                        max_crashes=pool.queue.max_crashes,
                        recovers=self._knows_locks(pool, now),
                    )
                    for pool in pools
                ]
            )
            set_back_ms = max((answer for answer in found if isinstance(answer, int)), default=0)
            if set_back_ms:
                log.warning("clock of Redis was set back: limits and lost locks end in time", by_s=set_back_ms // 1000)
            for pool, answer in zip(pools, found, strict=True):
                if isinstance(answer, RedisRefused):
                    continue
                self._due[pool.name] = now + pool.queue.stalled_interval_ms / 1000
                for job in answer if isinstance(answer, list) else ():
                    log.warning("stalled job recovered", queue=pool.name, job=job.job_id, failed=job.failed)
            raise_refusal(found)
        return self._pause()

    def _pause(self) -> float:
        """Return the seconds until the next queue is due."""
        now = self._fleet.clock.monotonic()
        rests = [self._due.get(pool.name, now) - now for pool in self._fleet.pools.values()]
        return max(REFUSED_S, min([NOTHING_DUE_S, *rests]))

    async def _watch_clock(self) -> None:
        """See whether Redis's clock was set forward since the last time: all locks are over then, also of who lives."""
        try:
            told_s = await self._runner.run(server_time())
        except RedisRefused:
            return  # not allowed to ask: then nobody knows
        now = self._fleet.clock.monotonic()
        before, self._redis_ahead_s = self._redis_ahead_s, told_s - now
        if before is None:
            self._stepped_at = now  # nobody here knows what was before this start
        elif self._redis_ahead_s - before > STEP_S:
            self._stepped_at = now
            by_s = round(self._redis_ahead_s - before)
            log.info("clock of Redis was set forward, or this host slept: lost locks are looked for later", by_s=by_s)

    def _knows_locks(self, pool: Pool, now: float) -> bool:
        """Whether a lock that is not there is lost: each host has renewed its own since an outage or a step.

        They renew at a third of a lock's life, so an outage of less than two thirds costs no lock.
        """
        half_life_s = pool.queue.lock_duration_ms / 2000
        back_at, away_s = self._last_outage()
        was_away = away_s > 0.0 and away_s + UNNOTICED_S > half_life_s and now - back_at <= half_life_s
        return not was_away and (self._stepped_at is None or now - self._stepped_at > half_life_s)
