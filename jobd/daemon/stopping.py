"""Stop honestly: wait for the jobs until `grace`, hand back what is left after its worker is dead."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_state import STOP_LIMIT_S, STOP_PATIENCE_MS
from jobd.daemon.views import StopReport
from jobd.duration import format_duration
from jobd.protocol.board import SlotState
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.duties.recover import Recover
    from jobd.daemon.supervisor import Supervisor

log = event_log(__name__)

_KILL_LIMIT_S = 10.0
"""After SIGKILL: a process in uninterruptible sleep may need a while; then it is reported and left to the kernel."""

_SETTLE_LIMIT_S = 5.0
"""Until the hand-back is in Redis. Redis away: it is not waited for, the next start recovers."""

_TELL_EVERY_S = 10.0


class StopState(Enum):
    """Where the stop of a daemon is."""

    NONE = "none"
    """Nobody has asked for it."""
    WAITING = "waiting"
    """Workers take nothing more; their jobs have until the deadline."""
    ENDING = "ending"
    """What is left of the workers is told to end, then killed."""
    HANDING_BACK = "handing back"
    """No worker lives; the jobs they held go back to their queues."""
    STOPPED = "stopped"
    ABANDONED = "abandoned"
    """The daemon ends for another reason, or before it got up: processes are ended, nothing is waited for or told."""


class StopCourse:
    """The states of a stop, one method per event, each of which looks at the state first. Decisions only."""

    def __init__(self) -> None:
        self.state = StopState.NONE
        self.deadline = 0.0
        """Until when jobs are waited for (monotonic)."""

    def asked(self, deadline: float, *, hurries: bool) -> bool:
        """Somebody wants the daemon to stop; return whether the stop begins with that.

        `hurries`: a later call brings a deadline of its own, which can only shorten the wait.
        """
        if self.state is StopState.NONE:
            self.state, self.deadline = StopState.WAITING, deadline
            return True
        if hurries and self.state is StopState.WAITING:
            self.deadline = min(self.deadline, deadline)
        return False

    def waits(self, now: float, *, workers: bool, running: bool, redis_down: bool) -> bool:
        """Whether jobs are waited for still; not for Redis alone, whose return may take for ever."""
        if self.state is StopState.WAITING and (not workers or now >= self.deadline or (redis_down and not running)):
            self.state = StopState.ENDING
        return self.state is StopState.WAITING

    def workers_gone(self) -> None:
        """No worker lives any more, or those that do cannot be killed."""
        if self.state is StopState.ENDING:
            self.state = StopState.HANDING_BACK

    def handed_back(self) -> None:
        """What they held lies in its queues again, or is left to the next start."""
        if self.state is StopState.HANDING_BACK:
            self.state = StopState.STOPPED

    def killed(self) -> None:
        """Every worker was killed: there is nothing to wait for."""
        if self.state is StopState.WAITING:
            self.state = StopState.ENDING

    def abandoned(self) -> None:
        """The daemon ends now."""
        if self.state is not StopState.STOPPED:
            self.state = StopState.ABANDONED


class Stopper:
    """The one stop of this daemon; later calls hurry it along and get the same report."""

    def __init__(self, supervisor: Supervisor, recover: Recover, on_stopped: Callable[[], None]) -> None:
        """Prepare. `on_stopped` is called when a stop is through, whether or not its caller is still there."""
        self._supervisor = supervisor
        self._on_stopped = on_stopped
        self._recover = recover
        self._course = StopCourse()
        self._task: asyncio.Task[StopReport] | None = None
        self._listeners: list[Callable[[str], None]] = []

    @property
    def has_begun(self) -> bool:
        """Whether the daemon stops, or has stopped."""
        return self._course.state is not StopState.NONE

    async def stop(self, grace_ms: int | None, now: bool, progress: Callable[[str], None]) -> StopReport:
        """Stop all workers; return when none of their processes is left.

        `grace_ms` None is [daemon] grace; `now` hands everything back at once. A call while it stops can only shorten
        the wait.

        Raises:
            asyncio.CancelledError: the stop was abandoned.
        """
        clock = self._supervisor.clock
        grace = 0 if now else self._supervisor.config.daemon.grace_ms if grace_ms is None else grace_ms
        hurries = now or grace_ms is not None
        self._listeners.append(progress)
        if self._course.asked(clock.monotonic() + grace / 1000, hurries=hurries) or self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._done)
        elif hurries:
            self._supervisor.fleet.notify()
        return await asyncio.shield(self._task)

    def _done(self, task: asyncio.Task[StopReport]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("stop failed", error=repr(task.exception()))
        self._on_stopped()

    def kill_all(self) -> None:
        """SIGKILL every worker now; what they held is handed back if Redis answers, else by the next start."""
        self._course.killed()
        for _, worker in self._supervisor.fleet.workers():
            worker.kill(Ending.ASKED)

    async def abandon(self) -> None:
        """End what still runs, without a report: the daemon ends for another reason, or never got up."""
        self._course.abandoned()
        for pool in self._supervisor.fleet.all_pools():
            pool.stop_restarting()
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self.kill_all()
        await self._until_gone(self._supervisor.clock.monotonic() + _KILL_LIMIT_S)
        await self._supervisor.templates.stop()
        self._supervisor.fleet.orphans.all_gone()

    async def _run(self) -> StopReport:
        supervisor = self._supervisor
        self._recover.together = True
        before = self._running()
        names = self._names()
        log.info("stopping", jobs=len(before))
        for pool in supervisor.fleet.all_pools():
            pool.stop_restarting()
        for _, worker in supervisor.fleet.workers():
            worker.drain()
        await self._wait_for_jobs()
        names |= self._names()
        away = supervisor.health.redis_down()
        await self._end_workers()
        self._course.workers_gone()
        settled = await self._recover.settle(0.0 if away else _SETTLE_LIMIT_S)
        handed_back = [replace(job, name=names.get((job.queue, job.id), "")) for job in self._recover.handed_back]
        await supervisor.templates.stop()
        supervisor.fleet.orphans.all_gone()
        if settled:
            supervisor.record.finished()
        self._course.handed_back()
        finished = max(0, len(before) - len(handed_back))
        log.info("stopped", finished=finished, handed_back=len(handed_back), settled=settled)
        return StopReport(finished, handed_back)

    async def _wait_for_jobs(self) -> None:
        """Return when every worker has gone, or the time is over, or only Redis is what they wait for."""
        clock, fleet, health = self._supervisor.clock, self._supervisor.fleet, self._supervisor.health
        told_at, told_count = 0.0, -1
        while True:
            running, now = self._running(), clock.monotonic()
            if not self._course.waits(
                now, workers=self._someone(), running=bool(running), redis_down=health.redis_down()
            ):
                return
            if running and (len(running) != told_count or now - told_at >= _TELL_EVERY_S):
                told_at, told_count = now, len(running)
                self._tell(self._countdown(running, now))
            await fleet.changed(min(0.1, max(0.0, self._course.deadline - now)))

    async def _end_workers(self) -> None:
        fleet, clock = self._supervisor.fleet, self._supervisor.clock
        for _, worker in fleet.workers():
            worker.stop(STOP_PATIENCE_MS)
        await self._until_gone(clock.monotonic() + STOP_LIMIT_S)
        for _, worker in fleet.workers():
            worker.kill_late()
        if not await self._until_gone(clock.monotonic() + _KILL_LIMIT_S):
            left = [worker.pid for _, worker in fleet.workers()]
            log.error("workers do not die; their jobs are left to the next start", pids=left)

    async def _until_gone(self, end: float) -> bool:
        clock = self._supervisor.clock
        while self._someone():
            left = end - clock.monotonic()
            if left <= 0:
                return False
            await self._supervisor.fleet.changed(left)
        return True

    def _someone(self) -> bool:
        return any(True for _ in self._supervisor.fleet.workers())

    def _running(self) -> list[tuple[str, str, float]]:
        """(queue, job, started at) of every job whose handler is not through."""
        return [
            (pool.name, view.job_id or view.name, view.started_at)
            for pool, worker in self._supervisor.fleet.workers()
            for view in worker.slots()
            if view.state is SlotState.RUNNING
        ]

    def _names(self) -> dict[tuple[str, str], str]:
        """{(queue, job): name} of what the workers hold; a worker that stops clears its board."""
        return {
            (pool.name, view.job_id): view.name
            for pool, worker in self._supervisor.fleet.workers()
            for view in worker.slots()
            if view.job_id is not None
        }

    def _countdown(self, running: list[tuple[str, str, float]], now: float) -> str:
        named = ", ".join(f"{queue} {job} {format_duration((now - at) * 1000)}" for queue, job, at in running[:5])
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        left = format_duration((self._course.deadline - now) * 1000)
        return f"waiting for {plural(len(running), 'job')} ({left} left): {named}{more}"

    def _tell(self, text: str) -> None:
        log.info(text)
        for listener in self._listeners:
            listener(text)
