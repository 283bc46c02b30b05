"""Have `on_failed` called for jobs that the daemon failed itself: their own worker is dead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from jobd.daemon.background import Background
from jobd.daemon.logs import event_log
from jobd.daemon.processes.worker_state import WorkerState
from jobd.protocol.worker import EndedHeard, JobEnded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.worker_state import Worker
    from jobd.engine.job import Taken

log = event_log(__name__)

_LOOK_AGAIN_S = 1.0
_TRIES = 3


class OnFailedCalls:
    """Tells each such job to one worker of its queue, as soon as one is ready.

    To another one when that worker dies before `on_failed` has returned: a job beside may have killed it. Not for
    ever: it may be `on_failed` that does.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._telling = Background()

    def tell(self, queue: str, jobs: Iterable[JobEnded]) -> None:
        """Tell them. Returns at once."""
        for ended in jobs:
            self._telling.start(self._tell(queue, ended), "ended job")

    async def stop(self) -> None:
        """Give up those that no worker could be told of; the log names them."""
        await self._telling.stop()

    async def _tell(self, queue: str, ended: JobEnded) -> None:
        heard = EndedHeard(ended.job_id, ended.attempts_started)
        asked: list[Worker] = []
        try:
            # No pool: a reload has removed the queue, and nobody of its application is left.
            while queue in self._fleet.pools and len(asked) < _TRIES:
                worker = self._free_one(queue)
                if worker is not None:
                    asked.append(worker)
                    worker.tell_ended(ended)
                    while heard not in worker.heard and worker.state is not WorkerState.GONE:
                        await self._fleet.changed(_LOOK_AGAIN_S)
                    if heard in worker.heard:
                        worker.heard.discard(heard)
                        return
                else:
                    await self._fleet.changed(_LOOK_AGAIN_S)
        except asyncio.CancelledError:
            pass
        if not asked:
            log.warning("on_failed was not called: no worker was there", queue=queue, job=ended.job_id)
        elif heard not in asked[-1].heard:
            log.warning("on_failed was cut off", queue=queue, job=ended.job_id, times=len(asked))

    def _free_one(self, queue: str) -> Worker | None:
        workers = [worker for worker in self._fleet.pools[queue].workers() if worker.takes_jobs]
        return min(workers, key=_burden, default=None)


def ended_job(taken: Taken, kind: Literal["crashed", "timed-out", "cancelled"], reason: str) -> JobEnded:
    """Return what a worker is told of a job that its dead worker had taken."""
    return JobEnded(
        job_id=taken.id, name=taken.name or "", kind=kind, reason=reason, data=_text(taken.data),
        opts=_text(taken.opts), timestamp=taken.timestamp, priority=taken.priority,
        attempts_made=taken.attempts_made, attempts_started=taken.attempts_started, parent_key=taken.parent_key,
    )  # fmt: skip


def _burden(worker: Worker) -> tuple[bool, int]:
    board = worker.board
    return worker.loop_stands_since is not None, 0 if board is None else board.busy


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "surrogateescape")
