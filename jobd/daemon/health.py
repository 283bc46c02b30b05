"""In what condition the daemon is: what is not as it should be, and what differs from the file. Asks nobody."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jobd.daemon.processes.hold import HeldBy
from jobd.engine.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool

FETCH_LIMIT_S = 15.0
"""A queue whose last answered fetch is older is not ready."""


_SILENT = frozenset(
    (Trouble.AWAY, Trouble.LOADING, Trouble.READ_ONLY, Trouble.CLUSTER_DOWN, Trouble.MOVED, Trouble.CANNOT_SAVE)
)
"""Troubles of the server during which no host renews its locks."""


class Health:
    """Reads the pools, and keeps what the duties say about Redis."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._redis_troubles: dict[str, str] = {}
        """{duty: what Redis refused it}."""
        self._silent_since: float | None = None
        self._last_silence = (-math.inf, 0.0)
        self.of_schedules: Callable[[], list[str]] = list
        """Says which schedules of the file are not set, and why."""

    def degraded_by(self, now: float) -> list[str]:
        """Return what is not as it should be: "reports: breaker", "redis: down". Empty means ready."""
        trouble = self.redis_trouble()
        found = []
        for pool in self._fleet.pools.values():
            # While Redis is away no fetch is answered anywhere: that is one trouble, not one for each queue.
            text = _trouble_of(pool, now, redis_answers=trouble is None)
            if text is not None:
                found.append(f"{pool.name}: {text}")
        if trouble is not None:
            found.append(f"redis: {trouble}")
        return found + self.of_schedules()

    def redis_said(self, duty: str, trouble: str | None) -> None:
        """A duty had its answer from Redis, or (with a word of engine.trouble.Trouble) did not."""
        if trouble is None:
            self._redis_troubles.pop(duty, None)
        else:
            self._redis_troubles[duty] = trouble
        if any(word in _SILENT for word in self._redis_troubles.values()):
            self._silent_since = self._silent_since or self._fleet.clock.monotonic()
        elif self._silent_since is not None:
            self._last_silence, self._silent_since = self.last_silence(), None

    def last_silence(self) -> tuple[float, float]:
        """Return when Redis came back last (monotonic; now while it is away), and for how many seconds it was away."""
        if self._silent_since is None:
            return self._last_silence
        now = self._fleet.clock.monotonic()
        return now, now - self._silent_since

    def redis_trouble(self) -> str | None:
        """Return what is wrong with Redis in a few words: "down" when nobody answers, None when nothing is wrong."""
        found = [*self._redis_troubles.values()]
        found += [w.redis_trouble for _, w in self._fleet.workers() if w.is_up and w.redis_trouble is not None]
        # A reason says more than silence: while a server loads, connections are refused and answered by turns.
        words = [word for word in found if word != Trouble.AWAY]
        return words[0] if words else "down" if found else None

    def redis_down(self) -> bool:
        """Tell whether any worker that is up says that Redis is away."""
        return any(worker.is_up and not worker.redis_up for _, worker in self._fleet.workers())

    def drift(self, now: float) -> list[str]:
        """Return one line for each thing that was changed at run time and differs from the file: who, when and why."""
        lines = []
        for pool in self._fleet.pools.values():
            written = pool.queue.scaling
            if pool.scaled_to not in (None, written.plain()) and pool.scaled_by is not None:
                told = pool.scaled_by.told(now)
                lines.append(
                    f"{pool.name} scaled {written} -> {pool.scaled_to} at runtime {told} (file says {written})"
                )
            if pool.quieted_by is not None:
                lines.append(f"{pool.name} quiet at runtime {pool.quieted_by.told(now)}")
        return lines


def _trouble_of(pool: Pool, now: float, *, redis_answers: bool) -> str | None:
    """Say what is wrong with a queue, or None."""
    if pool.hold.by is HeldBy.BREAKER:
        return "breaker"
    if pool.hold.by is HeldBy.SETUP:
        return pool.hold.reason.splitlines()[0]
    if not (pool.was_ready and pool.is_open and pool.wanted):
        return None
    if not pool.has_ready():
        return "no worker is ready"
    return None if pool.is_quiet or pool.withheld else _not_fetching(pool, now, redis_answers=redis_answers)


def _not_fetching(pool: Pool, now: float, *, redis_answers: bool) -> str | None:
    """Say that a queue that should be consumed is not, or that one of its workers does nothing; None when all is well.

    Without an answer of Redis only the second: that no fetch is answered is known then, of all queues at once.
    """
    fetched_at, standing = 0.0, None
    for worker in pool.workers():
        if worker.board is None or not worker.takes_jobs:
            continue
        if worker.loop_stands_since is not None:
            standing = f"the event loop of worker {worker.pid} has not turned for {now - worker.loop_stands_since:.0f}s"
            if not worker.slots():
                return standing
        if worker.board.busy >= pool.queue.concurrency:
            fetched_at = now  # all slots are taken: nothing to fetch for
        fetched_at = max(fetched_at, worker.board.fetched_at, worker.ready_at or 0.0)
    age = now - fetched_at
    if age < FETCH_LIMIT_S or not redis_answers:
        return None
    return standing or f"no fetch was answered for {age:.0f}s"
