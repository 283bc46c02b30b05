"""Recover the jobs of earlier incarnations: of a daemon that was killed, together with everything below it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.engine.job import KEEP_ALL
from jobd.engine.keys import Keys
from jobd.engine.locks import active_ids, last_take, recover_jobs
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.incarnation import IncarnationRecord
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.state_dir import Incarnation, ProcessMark
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

_DONE_S = 3600.0
_GONE_LIMIT_S = 10.0


async def kill_survivors(incarnations: list[Incarnation]) -> None:
    """SIGKILL what still runs of earlier incarnations of this boot, and wait until it is gone.

    A survivor could still finish or take jobs; only when none is left may its jobs run elsewhere.
    """
    left = [mark for incarnation in incarnations if incarnation.of_this_boot() for mark in incarnation.survivors()]
    for mark in left:
        log.warning("process of an earlier start killed", pid=mark.pid)
        _kill(mark)
    waited = 0.0
    while (left := [mark for mark in left if mark.alive()]) and waited < _GONE_LIMIT_S:
        await asyncio.sleep(0.01)
        waited += 0.01
    if left:
        log.error("processes of an earlier start do not die", pids=[mark.pid for mark in left])


class EarlierIncarnations(Duty):
    """Until each earlier incarnation is settled. Its daemon was killed, so no job is blamed: nothing is counted."""

    needs_workers = False
    name = "earlier incarnations"

    def __init__(
        self,
        fleet: Fleet,
        runner: AsyncRunner,
        record: IncarnationRecord,
        on_redis: Callable[[str, str | None], None],
    ) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner
        self._record = record

    async def run_once(self) -> float:
        """Recover them all; raises while Redis is away and is called again."""
        for incarnation in list(self._record.previous):
            if not incarnation.of_this_boot():
                log.info("jobs of another boot are left to the stalled check", incarnation=incarnation.id)
                self._record.settled(incarnation)
            elif not incarnation.survivors():
                await self._recover(incarnation)
        return 1.0 if self._record.previous else _DONE_S

    async def _recover(self, incarnation: Incarnation) -> None:
        source = self._fleet.source
        refused: RedisRefused | None = None
        for served in incarnation.queues:
            if (served.url, served.prefix) != (source.shown, source.prefix):
                log.warning("jobs on another Redis are left to its stalled check", url=served.url, queue=served.queue)
                continue
            try:
                await self._recover_queue(incarnation, served.queue)
            except RedisRefused as error:
                refused = refused or error  # the other queues need not wait for whoever repairs this one
        if refused is not None:
            raise refused
        self._record.settled(incarnation)

    async def _recover_queue(self, incarnation: Incarnation, name: str) -> None:
        queue = self._fleet.config.queues.get(name)
        keys = Keys(self._fleet.source.prefix, name)
        jobs = await self._runner.run(
            recover_jobs(
                keys,
                f"{incarnation.id}:",
                begun=await self._taken_by(incarnation, keys),
                counted=False,
                max_crashes=queue.max_crashes if queue else 1,
                reason="the daemon was killed",
                now_ms=self._fleet.clock.now_ms(),
                keep=queue.keep_failed if queue else KEEP_ALL,
            )
        )
        for job in jobs:
            log.info("job of an earlier start recovered", queue=name, job=job.job_id)

    async def _taken_by(self, incarnation: Incarnation, keys: Keys) -> list[tuple[str, int]]:
        """(id, ats) of active jobs that its workers took: their locks may have run out while no daemon was there."""
        ids = await self._runner.run(active_ids(keys))
        takes = await self._runner.run_many([last_take(keys, job_id) for job_id in ids])
        pids = {str(mark.pid) for mark in incarnation.processes}
        host = f"{incarnation.host}:"
        return [
            (job_id, int(ats))
            for job_id, (name, ats) in zip(ids, takes, strict=True)
            if name is not None and name.startswith(host) and name.rpartition(":")[2] in pids
            if ats is not None and ats.isdecimal()
        ]


def _kill(mark: ProcessMark) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        pidfd = os.pidfd_open(mark.pid)
        try:
            if mark.alive():  # checked behind the pidfd: the pid can not have changed hands since
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(mark.pid, signal.SIGKILL)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
