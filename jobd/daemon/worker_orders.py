"""What a person orders of one worker process: look at its stacks, replace it, kill it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_state import WorkerState
from jobd.errors import NotThere, Refused
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.worker_state import Worker

log = event_log(__name__)

_PART = re.compile(r"(?m)^(?=thread |task )")


class WorkerOrders:
    """Finds workers by pid, jobs by the board, and does what is asked."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def find(self, pid: int) -> tuple[Pool, Worker]:
        """Return a worker of this host.

        Raises:
            NotThere: no worker has this pid.
        """
        workers = {worker.pid: (pool, worker) for pool, worker in self._fleet.workers() if worker.pid}
        if pid not in workers:
            known = [str(number) for number in sorted(workers)]
            raise NotThere(
                "worker", str(pid), f"no worker of this host has pid {pid}; see: jobd worker list", known=known
            )
        return workers[pid]

    async def restart(self, pid: int, who: str) -> Worker:
        """Replace a worker; return the new one, which is ready. What the old one runs may go on for `grace`.

        Raises:
            NotThere: no worker has this pid.
            Refused: nothing can be replaced there now, or the new one did not get ready: the old one serves on, unless
                its place is not wanted any more.
        """
        pool, old = self.find(pid)
        place = pool.place_of(old)
        grace_s = self._fleet.config.daemon.grace_ms / 1000
        if place is None or place.worker is not old or not pool.replace(place, grace_s):
            why = pool.hold.reason.splitlines()[0] if pool.hold.is_on else f"it is {old.shown_state}"
            if place is not None and place.replacement is not None:
                why = "it is being replaced already"
            raise Refused("worker-not-ready", f"cannot restart worker {pid} of {pool.name}: {why}")
        log.info("worker restart ordered", queue=pool.name, pid=pid, by=who)
        new = place.replacement
        while new is not None and new.state is not WorkerState.GONE:
            if new.takes_jobs:
                return new
            await self._fleet.changed(1.0)
        cause = new.cause if new is not None else None
        told = f": {cause.splitlines()[0]}" if cause else ""
        # A scale or a reload may have taken the place from both.
        becomes = "serves on" if pool.place_of(old) is not None else "is not wanted any more either"
        raise Refused(
            "restart-failed", f"the replacement did not get ready{told}; worker {pid} of {pool.name} {becomes}"
        )

    async def kill(self, pid: int, who: str) -> tuple[Pool, list[str]]:
        """Kill a worker, not counted on anything; return its pool and the jobs it ran, which go back to their queue.

        Raises:
            NotThere: no worker has this pid.
        """
        pool, worker = self.find(pid)
        jobs = [view.job_id or view.name for view in worker.slots() if view.state is SlotState.RUNNING]
        log.warning("worker kill ordered", queue=pool.name, pid=pid, by=who, jobs=jobs or None)
        worker.kill(Ending.ASKED, f"killed by {who}")
        while worker.state is not WorkerState.GONE:
            await self._fleet.changed(1.0)
        return pool, jobs

    async def stack(self, pid: int) -> tuple[Pool, str]:
        """Return a worker's pool and the stacks of all its threads and tasks, as text.

        Raises:
            NotThere: no worker has this pid.
            Refused: it does not say them.
        """
        pool, worker = self.find(pid)
        return pool, await self._fleet.stacks(worker)

    async def stack_of_job(self, queue: str, job_id: str) -> tuple[int, str]:
        """Return the pid of the worker that runs a job, and the job's stack; all of the worker's when it hangs in C.

        Raises:
            NotThere: no worker of this host runs it.
            Refused: the worker does not say it.
        """
        for pool, worker in self._fleet.workers():
            running = {view.job_id for view in worker.slots() if view.state is SlotState.RUNNING}
            if pool.name == queue and job_id in running:
                return worker.pid, part_of(await self._fleet.stacks(worker), job_id)
        raise NotThere("job", job_id, f'no worker of this host runs job {job_id} of queue "{queue}"')


def part_of(stacks: str, job_id: str) -> str:
    """Return the part of a worker's stacks that belongs to a job; everything when none is marked as its."""
    mark = f" runs job {job_id} ("
    return "".join(part for part in re.split(_PART, stacks) if mark in part.partition("\n")[0]) or stacks
