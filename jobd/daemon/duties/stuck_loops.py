"""Notice a worker whose event loop stands still: nobody inside it can.

The loop shows on the board that it turns. It may rightly stand still for an hour while a handler holds the GIL or burns
CPU in an `async def`: then a job runs, and its worker is only reported. With no handler running, nothing is lost by
killing it, and nothing but that helps: whatever blocks the loop is no job and has no timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_state import WorkerState
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.worker_state import Worker

log = event_log(__name__)

TICK_S = 1.0

SHORTEST_S = 5.0
"""However short `lock_duration`: the loop shows itself once a second, and a busy machine may be late."""

TEARDOWN_S = 60.0
"""A worker that drains may be in its `teardown`, which holds the loop."""

_LOOKS = 3
"""Looks at a beat that does not change before it counts: after this daemon itself was stopped, one proves nothing."""


class Verdict(Enum):
    """What is to be done about a worker."""

    TURNS = "turns"
    REPORT = "report"
    KILL = "kill"


@dataclass(slots=True)
class Beat:
    """The last beat that was seen of a worker's loop, since when, and how often."""

    at: float
    since: float
    looks: int = 1

    def seen(self, at: float, now: float) -> float:
        """Note a look; return for how long the loop has stood still."""
        if at != self.at:
            self.at, self.since, self.looks = at, now, 0
        self.looks += 1
        return now - self.since if self.looks > _LOOKS else 0.0


def judge(stands_s: float, lock_s: float, *, runs_a_job: bool, drains: bool) -> Verdict:
    """Decide about a worker whose loop has not turned for `stands_s`."""
    limit = max(lock_s, SHORTEST_S)
    if stands_s < limit:
        return Verdict.TURNS
    if runs_a_job or (drains and stands_s < max(limit, TEARDOWN_S)):
        return Verdict.REPORT
    return Verdict.KILL


class StuckLoops(Duty):
    """Looks at every board once a second."""

    name = "stuck loops"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._beats: WeakKeyDictionary[Worker, Beat] = WeakKeyDictionary()
        self._doomed: WeakKeyDictionary[Worker, str] = WeakKeyDictionary()

    async def run_once(self) -> float:
        """Report, or kill, whose loop stands still."""
        now = self._fleet.clock.monotonic()
        for pool, worker in list(self._fleet.workers()):
            if worker.board is not None and worker.is_up:
                self._look(pool, worker, now)
        return TICK_S

    def _look(self, pool: Pool, worker: Worker, now: float) -> None:
        if worker.board is None:
            return
        beat = self._beats.setdefault(worker, Beat(worker.board.beat_at, now))
        stands_s = beat.seen(worker.board.beat_at, now)
        if stands_s < SHORTEST_S:
            # Whatever it runs; to read the slots of hundreds of workers each second would cost more than all the rest.
            worker.loop_stands_since = None
            return
        jobs = [view.job_id or view.name for view in worker.slots() if view.state is SlotState.RUNNING]
        drains = worker.state in (WorkerState.DRAINING, WorkerState.STOPPING)
        verdict = judge(stands_s, pool.queue.lock_duration_ms / 1000, runs_a_job=bool(jobs), drains=drains)
        if verdict is Verdict.TURNS:
            worker.loop_stands_since = None
            return
        if worker.loop_stands_since is None:
            log.warning(
                "event loop stands still", queue=pool.name, pid=worker.pid, stands_ms=round(stands_s * 1000),
                jobs=jobs or None,
            )  # fmt: skip
        worker.loop_stands_since = beat.since
        if verdict is Verdict.KILL:
            self._end(pool, worker, stands_s)

    def _end(self, pool: Pool, worker: Worker, stands_s: float) -> None:
        """Have it print its stacks; at the next look they are read, and it is killed."""
        cause = self._doomed.get(worker)
        if cause is not None:
            worker.kill(Ending.STOOD_STILL, cause)
            return
        self._doomed[worker] = f"event loop stood still for {stands_s:.0f}s"
        log.error("worker is killed: its event loop stands still and no job runs", queue=pool.name, pid=worker.pid)
        worker.print_stacks()
