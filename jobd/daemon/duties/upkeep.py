"""Once a second: the loop's beat, recycling, orphans of handlers."""

from __future__ import annotations

import zlib
from math import ceil
from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.daemon.processes.kernel import memory_bytes, reap_strangers
from jobd.daemon.processes.place import PlaceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.config.model import Recycle
    from jobd.daemon.processes.place import Place
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.supervisor import Supervisor

log = event_log(__name__)

TICK_S = 1.0


class Upkeep(Duty):
    """What only needs a look now and then. `ours` are pids of children that somebody else waits for."""

    name = "upkeep"

    def __init__(self, supervisor: Supervisor, ours: Callable[[], set[int]]) -> None:
        super().__init__()
        self._supervisor = supervisor
        self._ours = ours

    async def run_once(self) -> float:
        """Do all of it once."""
        self._supervisor.beat()
        if not self._supervisor.stopping:
            for pool in list(self._supervisor.fleet.pools.values()):
                self._recycle(pool)
        reap_strangers(self._ours())
        self._supervisor.fleet.orphans.look()
        return TICK_S

    def _recycle(self, pool: Pool) -> None:
        rule = pool.queue.recycle
        if rule is None or any(place.state is PlaceState.REPLACING for place in pool.places.values()):
            return  # one at a time, so that the machine never carries two of each
        now = self._supervisor.clock.monotonic()
        for place in pool.places.values():
            why = _worn_out(place, rule, now)
            if why is not None and place.worker is not None and pool.replace(place):
                place.worker.replaced_for = "recycle"
                log.info("worker recycled", queue=pool.name, pid=place.worker.pid, why=why)
                return


def _worn_out(place: Place, rule: Recycle, now: float) -> str | None:
    """Say why the worker of a place is due for replacement, or None."""
    worker = place.worker
    if worker is None or worker.board is None or not worker.takes_jobs:
        return None
    # Workers that started together do not go together: each at its own point of the last tenth.
    early = 1 - 0.1 * zlib.crc32(worker.name.encode()) / 2**32
    if rule.jobs is not None and worker.board.jobs_done >= ceil(rule.jobs * early):
        return "jobs"
    if rule.age_ms is not None and (now - worker.started_at) * 1000 >= rule.age_ms * early:
        return "age"
    if rule.memory_bytes is not None and memory_bytes(worker.pid) >= rule.memory_bytes:
        return "memory"
    return None
