"""Calls of `on_failed` for jobs that the daemon failed: their own worker died, so nothing was raised here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.engine.job import Taken
from jobd.engine.outcome_policy import read_opts
from jobd.errors import Cancelled, JobTimeout, Unrecoverable
from jobd.protocol.worker import EndedHeard
from jobd.worker import internal_errors
from jobd.worker.handlers.job import Job, current
from jobd.worker.run.attempt import on_failed_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.protocol.worker import JobEnded
    from jobd.worker.run.slots import Slots

_ERRORS: dict[str, type[BaseException]] = {"crashed": Unrecoverable, "timed-out": JobTimeout, "cancelled": Cancelled}


class OnFailedCalls:
    """The calls that run. They hold no slot and no lock: their jobs are over."""

    def __init__(self, slots: Slots, told: Callable[[EndedHeard], None]) -> None:
        """`told` takes the word that one is through: without it another worker is asked when this one dies."""
        self._slots = slots
        self._told = told
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, ended: JobEnded) -> None:
        """Call `on_failed` for this job; nothing without one. Returns at once."""
        task = internal_errors.run(asyncio.get_running_loop(), self._call(ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def over(self) -> None:
        """Return when none runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _call(self, ended: JobEnded) -> None:
        await self._hear(ended)
        self._told(EndedHeard(ended.job_id, ended.attempts_started))

    async def _hear(self, ended: JobEnded) -> None:
        slots = self._slots
        policy = slots.policies.of(ended.name) or slots.policies.nobody
        if policy.on_failed is None:
            return  # the file has none by now
        taken = _taken(ended)
        job = Job(taken, slots.queue, policy.outcome.attempts_of(read_opts(taken.opts)), slots)
        current.set(job)
        try:
            await policy.on_failed.call_on_loop(job, _ERRORS[ended.kind](ended.reason))
        except BaseException as error:
            on_failed_failed(job.id, error)


def _taken(ended: JobEnded) -> Taken:
    return Taken(
        id=ended.job_id, token="", name=ended.name, data=_raw(ended.data), opts=_raw(ended.opts),
        timestamp=ended.timestamp, delay_ms=0, priority=ended.priority, attempts_made=ended.attempts_made,
        attempts_started=ended.attempts_started, crashes=0, deduplication_id=None, parent_key=ended.parent_key,
        scheduler_id=None, deferred_failure=None, stacktrace=None, suspect=False,
    )  # fmt: skip


def _raw(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")
