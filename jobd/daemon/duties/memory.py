"""Kill workers that grow over `memory_max`, before they have grown far beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty
from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.kernel import memory_bytes
from jobd.duration import format_size

if TYPE_CHECKING:
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.worker_state import Worker

log = event_log(__name__)

TICK_S = 1.0

_BUSY_S, _IDLE_S = 0.1, 0.25
"""The shortest pause between two looks at a worker: each costs the daemon 10 µs."""

_GROWTH = 2_000_000_000
"""Bytes a second: about what one thread can fill."""


class MemoryLimits(Duty):
    """Looks at a worker again before it can have filled what it has left: a second later, or a tenth of one."""

    name = "memory"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._next_at: WeakKeyDictionary[Worker, float] = WeakKeyDictionary()

    async def run_once(self) -> float:
        """Look at those that it is time for."""
        now = self._fleet.clock.monotonic()
        limited = any(pool.queue.memory_max_bytes is not None for pool in self._fleet.all_pools())
        if not limited:
            return NOTHING_DUE_S
        pause = TICK_S
        for pool, worker in list(self._fleet.workers()):
            limit = pool.queue.memory_max_bytes
            if limit is None or not worker.pid or not worker.is_up:
                continue
            if (rest := self._next_at.get(worker, 0.0) - now) <= 0:
                used = memory_bytes(worker.pid)
                if used > limit:
                    cause = f"out of memory: {format_size(used)} used, memory_max is {format_size(limit)}"
                    log.warning(
                        "worker over memory_max, killed", queue=pool.name, pid=worker.pid, memory=used, limit=limit
                    )
                    worker.kill(Ending.MEMORY, cause)
                    continue
                rest = pause_s(limit - used, is_busy=worker.board is None or worker.board.busy > 0)
                self._next_at[worker] = now + rest
            pause = min(pause, rest)
        return pause


def pause_s(left: int, *, is_busy: bool) -> float:
    """Return how long nobody needs to look at a worker that may take so many bytes more."""
    return min(TICK_S, max(_BUSY_S if is_busy else _IDLE_S, left / _GROWTH))
