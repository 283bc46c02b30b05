"""Kill the worker of a job whose time, its `kill_after` included, is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.daemon.processes.exits import Ending
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from jobd.daemon.processes.fleet import Fleet

log = event_log(__name__)

TICK_S = 0.1


class Deadlines(Duty):
    """The worker cancels at the deadline; this is for a handler that does not let go (C code, a blocked read)."""

    name = "deadlines"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    async def run_once(self) -> float:
        """Kill the workers with an overdue job; that job fails its attempt, its neighbours go back uncounted."""
        now = self._fleet.clock.monotonic()
        for pool, worker in list(self._fleet.workers()):
            if worker.board is None or not worker.is_up or not worker.board.busy:
                continue
            overdue = [view for view in worker.slots() if view.state is SlotState.RUNNING and 0 < view.kill_at <= now]
            if overdue:
                ids = [view.job_id or view.name for view in overdue]
                log.warning("job outlives its timeout, worker killed", queue=pool.name, pid=worker.pid, jobs=ids)
                worker.overdue = overdue
                worker.kill(Ending.TIMED_OUT, "a job ran over its timeout")
        return TICK_S
