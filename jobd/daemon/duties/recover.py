"""Give the jobs of dead workers back to their queues, within milliseconds of the death.

The steps: docs/internals.md, "What a death does".

Redis is the truth about what a worker held: its token prefix among the locks of `active`. Everything here is safe to do
twice, so it is repeated until Redis has answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from jobd.daemon.background import Background
from jobd.daemon.duties.deadlines import fail_overdue
from jobd.daemon.duties.on_failed_calls import OnFailedCalls, ended_job
from jobd.daemon.duties.template_crashes import TemplateCrashes
from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending, describe, is_kill, last_words
from jobd.daemon.views import StoppedJob
from jobd.engine.keys import Keys
from jobd.engine.locks import adopt_jobs, hand_back_jobs, recover_jobs
from jobd.engine.metrics import ended_as
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.operations.handed_back import HANDED_BACK_OFTEN
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.daemon.processes.fleet import Fleet, Loss
    from jobd.daemon.processes.worker_state import Worker
    from jobd.engine.job import Taken
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

_AGAIN_S = 0.1
"""Pause until the next try while Redis is away: consumption resumes within 2 s of its return."""

_LATE_TURN_S = (0.1, 1.0)
"""When to look again after a death with a turn in flight: Redis may read that turn only after our first look, and would
then give jobs to a worker that is no more."""

_BRIEFLY_AWAY_S = 0.5
"""How long a stop waits for a Redis that does not answer: a restart of it, no more."""


class Recover:
    """Works off losses, each in a task of its own."""

    def __init__(self, fleet: Fleet, runner: AsyncRunner, ended: Callable[[str, int, int], None]) -> None:
        """`ended` is told the queue and how many jobs completed, and failed for good, that no worker has counted."""
        self.handed_back: list[StoppedJob] = []
        """What the stop of the daemon has handed back."""
        self.together = False
        """The daemon stops: a queue's jobs go back when its last worker has ended, in the order of their take."""
        self._away_since: float | None = None
        self._fleet = fleet
        self._runner = runner
        self._ended = ended
        self._background = Background()
        self._on_failed_calls = OnFailedCalls(fleet)
        self._template_crashes = TemplateCrashes()
        self._blamed: WeakSet[Worker] = WeakSet()
        """Workers whose template died by the fault of what they ran."""
        self._put_back: WeakKeyDictionary[Worker, set[str]] = WeakKeyDictionary()
        """Jobs that run again somewhere: whoever runs them counts how they end."""

    def lost(self, loss: Loss) -> None:
        """A worker has ended: see to what it held. Returns at once."""
        if loss.worker.ending is Ending.TEMPLATE_DIED:
            now = self._fleet.clock.monotonic()
            if self._template_crashes.template_died(loss.pool.name, [job_id for job_id, _ in begun_jobs(loss)], now):
                self._blamed.add(loss.worker)
        self._background.start(self._settle_loss(loss), "recover")

    async def settle(self, limit_s: float) -> bool:
        """Return whether everything was recovered within the limit; what was not is left to the next start."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (limit_s or 0.05)
        while self._background and (rest := end - loop.time()) > 0:
            await self._background.wait(min(rest, _AGAIN_S))
            if self._away_since is not None:
                end = min(end, self._away_since + _BRIEFLY_AWAY_S)
        return not self._background

    async def stop(self) -> None:
        """Give up what is not recovered yet; returns when nothing of it runs."""
        await self._on_failed_calls.stop()
        await self._background.stop()

    async def _settle_loss(self, loss: Loss) -> None:
        late = loss.worker.board is not None and loss.worker.board.turn_sent_at > 0
        try:
            await self._until_done(loss, self._once)
            for pause in _LATE_TURN_S if late else ():
                await asyncio.sleep(pause)
                await self._until_done(loss, self._once)
            await self._until_done(loss, self._count)
        finally:
            if loss.worker.board is not None:
                loss.worker.board.close()
                loss.worker.board = None

    async def _until_done(self, loss: Loss, step: Callable[[Loss], Awaitable[None]]) -> None:
        told = False
        while True:
            try:
                await step(loss)
            except (RedisUnavailable, RedisRefused) as error:
                if not told:
                    log.warning("jobs of a dead worker wait for Redis", queue=loss.pool.name, error=str(error))
                told = True
                if self._away_since is None:
                    self._away_since = asyncio.get_running_loop().time()
                await asyncio.sleep(_AGAIN_S)
            else:
                self._away_since = None
                return

    async def _once(self, loss: Loss) -> None:
        worker = loss.worker
        keys = Keys(self._fleet.source.prefix, loss.pool.name)
        if worker.ending in (Ending.TIMED_OUT, Ending.CANCELLED):
            failed = await fail_overdue(self._runner, keys, loss, self._fleet.clock)
            if loss.pool.queue.on_failed is not None:
                self._on_failed_calls.tell(loss.pool.name, failed)
        if worker.ending is Ending.ASKED:
            prefix = await self._last_of_queue(loss) if self.together else loss.token_prefix
            handed = await self._runner.run(hand_back_jobs(keys, prefix))
            self._put_back.setdefault(worker, set()).update(job_id for job_id, _ in handed)
            for job_id, times in handed:
                if self.together:
                    self.handed_back.append(StoppedJob(loss.pool.name, job_id, "", times))
                if times < HANDED_BACK_OFTEN:
                    log.info("job handed back", queue=loss.pool.name, job=job_id)
                else:
                    log.warning("job handed back again and again", queue=loss.pool.name, job=job_id, times=times)
            return
        begun = begun_jobs(loss)
        counted, reason = worker.ending.counted or worker in self._blamed, reason_of(loss)
        held: list[Taken] = []
        if loss.pool.queue.on_failed is not None and counted and begun:
            # Read before: a job that is not kept is gone once it has failed.
            held = await self._runner.run(adopt_jobs(keys, loss.token_prefix, ()))
        recovered = await self._runner.run(
            recover_jobs(
                keys,
                loss.token_prefix,
                begun=begun,
                counted=counted,
                max_crashes=loss.pool.queue.max_crashes,
                reason=reason,
                now_ms=self._fleet.clock.now_ms(),
                keep=loss.pool.queue.keep_failed,
                dead_letter=loss.pool.queue.dead_letters_to,
            )
        )
        self._put_back.setdefault(worker, set()).update(job.job_id for job in recovered if not job.failed)
        for job in recovered:
            log.warning(
                "job failed: it lost its worker too often" if job.failed else "job recovered",
                queue=loss.pool.name, job=job.job_id, pid=worker.pid, suspect=job.suspect or None,
            )  # fmt: skip

        over = {job.job_id for job in recovered if job.failed}
        ended = [ended_job(job, "crashed", reason) for job in held if job.id in over]
        self._on_failed_calls.tell(loss.pool.name, ended)

    async def _count(self, loss: Loss) -> None:
        """Count what its slots still show and Redis has as ended: no worker has read that answer, or it was ours."""
        if loss.worker.board is None:
            return
        keys = Keys(self._fleet.source.prefix, loss.pool.name)
        back = self._put_back.get(loss.worker, set())
        views = [view for view in loss.worker.slots() if view.job_id is not None and view.job_id not in back]
        ends = await self._runner.run_many([ended_as(keys, view.job_id or "", view.ats) for view in views])
        completed = failed = 0
        for view, end in zip(views, ends, strict=True):
            # A job that is not kept leaves no word: one whose handler was through has most likely completed.
            gone_well = view.state is SlotState.RETURNED
            completed += end == "completed" or (end == "gone" and gone_well)
            failed += end == "failed" or (end == "gone" and not gone_well)
        self._ended(loss.pool.name, completed, failed)

    async def _last_of_queue(self, loss: Loss) -> str:
        """Return, when no worker of the queue is left, what the locks of all of them begin with."""
        while any(pool.name == loss.pool.name for pool, _ in self._fleet.workers()):
            await self._fleet.changed(_AGAIN_S)
        return self._fleet.incarnation_prefix


def begun_jobs(loss: Loss) -> list[tuple[str, int]]:
    """Return (id, ats) of those whose handler had begun, by the board; those that had not are not to blame."""
    return [(view.job_id, view.ats) for view in loss.worker.slots() if view.job_id is not None]


def reason_of(loss: Loss) -> str:
    """Return the cause of death for `failedReason`: "worker died: signal 9 (SIGKILL)"; last output lines below."""
    worker = loss.worker
    if worker.cause is not None:
        cause = worker.cause
    elif loss.out_of_memory and is_kill(worker.status):
        cause = f"out of memory ({describe(worker.status)} by the kernel)"
    else:
        cause = describe(worker.status)
    return "\n".join([f"worker died: {cause}", *last_words(loss.last_output)])
