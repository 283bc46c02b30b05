"""One attempt of one job in one slot: what it runs, how far it is, how it ended."""

from __future__ import annotations

import asyncio
import threading
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

from jobd.duration import format_duration, to_ms
from jobd.engine.job import Finish
from jobd.engine.outcome_policy import after_failure, after_success
from jobd.engine.states import Outcome
from jobd.errors import Cancelled, DurationError, JobTimeout, RateLimited, RetryLater, Unrecoverable, WaitForChildren
from jobd.worker import forks
from jobd.worker.handlers.job import current
from jobd.worker.handlers.payload import to_json
from jobd.worker.run.output import Output
from jobd.worker.run.wording import reason_of, trace_of
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.outcome_policy import JobOptions
    from jobd.protocol.board import BoardWriter
    from jobd.worker.handlers.job import Job
    from jobd.worker.handlers.job_policy import JobPolicy
    from jobd.worker.handlers.on_failed import OnFailed
    from jobd.worker.run.tracing import RunSpan


class Interruption(Enum):
    """Why a run was interrupted."""

    NONE = "none"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its lock is another's: whatever it gives is refused, so nothing is sent."""
    STOPPED = "stopped"
    """The worker stops: what does not end with a result is handed back by the daemon."""


_NO_GUARD = threading.Lock()
"""Stands in where nobody interrupts a thread; a thread gives each attempt a guard of its own."""


def on_failed_failed(job_id: str, error: BaseException) -> None:
    """Say that `on_failed` itself raised something; it changes nothing of the job."""
    log.warning("on_failed of job %s failed: %s\n%s", job_id, reason_of(error), trace_of(error))


_INTERRUPTS = (asyncio.CancelledError, JobTimeout, Cancelled)


class Attempt:
    """One attempt. `finish` is what a turn carries to Redis, None when nothing is to be sent."""

    context = None
    """A thread runs it in a copy of its own context."""

    __slots__ = (
        "_board", "_told_failed", "deadline_at", "ended_at", "finish", "guard", "interruption", "job", "limited_ms",
        "options", "output",
        "policy", "settled", "slot", "span", "started_at", "struck", "taken", "task", "thread_id", "why",
    )  # fmt: skip

    def __init__(self, job: Job, policy: JobPolicy, options: JobOptions, slot: int, board: BoardWriter) -> None:
        self.taken = job.taken
        self.job = job
        self.policy = policy
        self.options = options
        self.slot = slot
        self._board = board
        self.finish: Finish | None = None
        self.interruption = Interruption.NONE
        self.why = ""
        self.span: RunSpan | None = None
        most = policy.log_output_bytes
        self.output = None if most is None else Output(job, most)
        self.settled = False
        self._told_failed = False
        self.started_at = self.deadline_at = self.ended_at = 0.0
        self.limited_ms = 0
        self.task: asyncio.Task[None] | None = None
        # For threads: which thread runs it, under a guard, so that an interruption hits this attempt or none.
        self.guard = _NO_GUARD
        self.thread_id = 0
        self.struck = False

    def begin(self) -> Callable[[Job], Any]:
        """Show on the board that the handler starts, and return what to call.

        Raises:
            Unrecoverable: the job's data is not JSON.
            Cancelled: it was interrupted before it began.
        """
        now = self.started_at = monotonic()
        policy, taken = self.policy, self.taken
        kill_at = 0.0
        if policy.timeout_s:
            self.deadline_at = self.job.deadline = now + policy.timeout_s
            if policy.kill_after_s is not None:
                kill_at = self.deadline_at + policy.kill_after_s
        self._board.run(self.slot, taken.id, self.job.name, taken.attempts_started, (now, self.deadline_at, kill_at))
        if self.interruption is not Interruption.NONE:
            raise Cancelled(self.interruption.value)
        current.set(self.job)
        if self.span is not None:
            self.span.begin()
        if self.output is not None:
            self.output.begin()
        self.job.data  # noqa: B018 - read here, where the handler runs: broken data fails before it, large data costs no other job
        return policy.call

    def kill_after_cancel(self, now: float) -> None:
        """Show on the board by when a cancelled run must be gone."""
        if self.policy.kill_after_s is not None and self.started_at and not self.settled:
            moments = (self.started_at, self.deadline_at, now + self.policy.kill_after_s)
            self._board.run(self.slot, self.taken.id, self.job.name, self.taken.attempts_started, moments)

    def succeeded(self, value: Any) -> None:
        """Take what the handler returned."""
        forks.end_if_child(None)
        try:
            encoded = b"null" if value is None else to_json(value, "result")
        # A str or dict subclass of the user's can raise anything while it is read.
        except Exception as error:
            self.failed(error)
            return
        self._end(after_success(self.taken, self.options, self.policy.outcome, encoded))

    def failed(self, error: BaseException) -> None:
        """Take what the handler raised, in the thread where it ran; `on_failed` is called after the last attempt."""
        finish, on_failed = self._raised(error)
        if on_failed is not None:
            try:
                on_failed.call(self.job, error)
            except BaseException as second:
                self._on_failed_failed(second)
        self._end(finish)

    async def failed_on_loop(self, error: BaseException) -> None:
        """Take what the handler raised, on the loop; else as `failed`."""
        finish, on_failed = self._raised(error)
        if on_failed is not None:
            try:
                await on_failed.call_on_loop(self.job, error)
            except BaseException as second:
                self._on_failed_failed(second)
        self._end(finish)

    def _raised(self, error: BaseException) -> tuple[Finish | None, OnFailed | None]:
        """Return what the run ends with, and whom to call before that."""
        forks.end_if_child(error)
        finish = self._finish_of(error)
        if self.span is not None and finish is not None:
            self.span.raised(error)
        return finish, self._called_for(finish)

    async def tell_refused(self) -> None:
        """Call `on_failed`, on the loop, when `finish` fails the job for good although its handler raised nothing."""
        finish = self.finish
        on_failed = self._called_for(finish)
        if on_failed is not None and finish is not None:
            try:
                await on_failed.call_on_loop(self.job, Unrecoverable(finish.value.decode("utf-8", "replace")))
            except BaseException as second:
                self._on_failed_failed(second)

    def _called_for(self, finish: Finish | None) -> OnFailed | None:
        """Return `on_failed` when this is a last attempt that failed, and it was not called for it yet."""
        if finish is None or finish.outcome is not Outcome.FAILED or self.interruption is Interruption.LOST:
            return None
        on_failed = None if self._told_failed else self.policy.on_failed
        self._told_failed = True
        return on_failed

    def _on_failed_failed(self, error: BaseException) -> None:
        on_failed_failed(self.taken.id, error)

    def _end(self, finish: Finish | None) -> None:
        if self.output is not None:
            self.output.end()
        self.finish = None if self.interruption is Interruption.LOST else finish
        self.ended_at = monotonic()
        self._board.returned(self.slot)
        self.settled = True

    def _finish_of(self, error: BaseException) -> Finish | None:
        if self.interruption in (Interruption.LOST, Interruption.STOPPED) and isinstance(error, _INTERRUPTS):
            return None
        if self.interruption is Interruption.CANCELLED:
            # Whatever it raises on its way out: nobody wants it to run again.
            return self._failure(self.why or "cancelled", trace_of(error), cancelled=True)
        if isinstance(error, RetryLater):
            try:
                return self._later(error)
            except DurationError as wrong:
                error = wrong
        if isinstance(error, WaitForChildren):
            taken = self.taken
            return Finish(taken.id, taken.token, Outcome.WAIT_FOR_CHILDREN, suspect=taken.suspect, key=taken.key)
        final = isinstance(error, Unrecoverable)
        if self.interruption is Interruption.TIMED_OUT and not final:
            after = format_duration((self.policy.timeout_s or 0) * 1000)
            return self._failure(f"timed out after {after}", trace_of(error), final=False)
        return self._failure(reason_of(error), trace_of(error), final=final)

    def _later(self, error: RetryLater) -> Finish:
        delay_ms = to_ms(error.delay)
        if isinstance(error, RateLimited):
            self.limited_ms = delay_ms
        taken = self.taken
        outcome = Outcome.LIMITED if isinstance(error, RateLimited) else Outcome.LATER
        return Finish(taken.id, taken.token, outcome, delay_ms=delay_ms, suspect=taken.suspect, key=taken.key)

    def _failure(self, reason: str, trace: str, *, final: bool = False, cancelled: bool = False) -> Finish:
        finish = after_failure(
            self.taken, self.options, self.policy.outcome, reason, trace, final=final, cancelled=cancelled
        )
        log.info("attempt %d of job %s (%s) failed\n%s", self.job.attempt, self.taken.id, self.taken.name, trace)
        unknown = self.options.unknown_backoff
        if unknown is not None and finish.outcome is Outcome.RETRY:
            delay = format_duration(finish.delay_ms)
            told = f'backoff type "{unknown}" is unknown to jobd: retried after {delay}, by the backoff of the queue'
            self.job.log(told)
            log.warning("job %s: %s", self.taken.id, told)
        return finish
