"""Batches: jobs gathered for one call of a handler, the call, and how each of them ended."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from jobd.errors import Cancelled
from jobd.words import plural
from jobd.worker import forks
from jobd.worker.handlers.batch_binding import Jobs
from jobd.worker.handlers.job import current
from jobd.worker.run.attempt import Interruption
from jobd.worker.run.output import SharedOutput
from jobd.worker.run.tracing import CallSpan

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterator

    from jobd.worker.handlers.job_policy import JobPolicy
    from jobd.worker.run.attempt import Attempt


class NothingLeft(Exception):
    """None of a batch's jobs got as far as its handler."""


class Batch:
    """One call of a handler with several jobs, to an executor like an attempt; `over` is told on the loop."""

    context: contextvars.Context | None = None

    def __init__(self, policy: JobPolicy, over: Callable[[Batch], None]) -> None:
        self.attempts: list[Attempt] = []
        self.policy = policy
        self.job = Jobs()
        self.interruption = Interruption.NONE
        self.settled = False
        self.guard = threading.Lock()
        self.thread_id = 0
        self.struck = False
        self.started_at = 0.0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._over = over
        self._called: list[Attempt] = []
        self._refused: list[tuple[Attempt, BaseException]] = []
        self._claims: dict[Attempt, bool] = {}
        self._span: CallSpan | None = None

    def claim(self, attempt: Attempt, *, apart: bool = False) -> bool:
        """Return whether an attempt is to be ended by who asks: by the call, or `apart` by a cancel of this job alone.

        The first to ask has it, in whichever thread: setdefault is one step for all of them.
        """
        return self._claims.setdefault(attempt, apart) is apart

    def is_for_others(self, attempt: Attempt) -> bool:
        """Whether the call is for other jobs than this one, too."""
        apart = [each for each, alone in self._claims.items() if alone]
        return any(each is not attempt and not each.settled and each not in apart for each in self.attempts)

    def begin(self) -> Callable[[Any], Any]:
        """Show each job on the board and make the handler's list; a job whose data does not fit fails alone.

        Raises:
            NothingLeft: no job is left to be called with.
        """
        self.started_at = monotonic()
        make, jobs = self.policy.entry, self.job
        for attempt in self.attempts:
            if self._claims.get(attempt):
                continue  # it was cancelled while the others were gathered
            try:
                attempt.begin()
                argument = make(attempt.job) if make is not None else attempt.job
            except (Exception, Cancelled) as error:
                self._refused.append((attempt, error))
            else:
                jobs.append(attempt.job)
                jobs.arguments.append(argument)
                self._called.append(attempt)
        current.set(None)  # there are several
        runs = [each.span for each in self._called if each.span is not None]
        if runs:
            self._span = CallSpan(jobs[0].queue, runs)
        SharedOutput([each.output for each in self._called if each.output is not None]).begin()
        if not jobs:
            raise NothingLeft
        return self.policy.call

    async def serve(self) -> None:
        """Run it on the loop, as a task of its own."""
        try:
            call = self.begin()
            value = await call(self.job)
        # As with single jobs: the end of this call and of nothing else.
        except BaseException as error:
            forks.end_if_child(error)
            ends = self._ends(error, None)
        else:
            forks.end_if_child(None)
            ends = self._ends(None, value)
        for attempt, failure, result in ends:
            if failure is not None:
                await attempt.failed_on_loop(failure)
            else:
                attempt.succeeded(result)
        self.settled = True
        self._over(self)

    def succeeded(self, value: Any) -> None:
        """Take what the handler returned, in its thread."""
        forks.end_if_child(None)
        self._end(self._ends(None, value))

    def failed(self, error: BaseException) -> None:
        """Take what the handler raised, in its thread: it is the failure of every job that has no end yet."""
        forks.end_if_child(error)
        self._end(self._ends(error, None))

    def tell(self) -> None:
        """The thread is through; on the loop."""
        self._over(self)

    def _end(self, ends: Iterator[tuple[Attempt, BaseException | None, Any]]) -> None:
        for attempt, failure, result in ends:
            if failure is not None:
                attempt.failed(failure)
            else:
                attempt.succeeded(result)
        self.settled = True

    def _ends(self, error: BaseException | None, value: Any) -> Iterator[tuple[Attempt, BaseException | None, Any]]:
        """Yield (attempt, what it failed with, its result) of each that has no end yet."""
        if isinstance(error, NothingLeft):
            error = None
        elif error is None:
            error = self._misfit(value)
        if self._span is not None:
            self._span.end(error)
        for attempt, refusal in self._refused:
            if self.claim(attempt) and not attempt.settled:
                yield attempt, refusal, None
        for index, attempt in enumerate(self._called):
            if not self.claim(attempt) or attempt.settled:
                continue  # it was cancelled or lost meanwhile
            failure = error
            if failure is None and isinstance(value[index], BaseException):
                failure = value[index]
            yield attempt, failure, None if failure is not None else value[index]

    def _misfit(self, value: Any) -> BaseException | None:
        count = len(self._called)
        if not isinstance(value, list | tuple):
            kind = type(value).__name__
            jobs = plural(count, "job")
            return TypeError(f"a batch handler returns a list with a result for each job: got {kind} for {jobs}")
        if len(value) != count:
            return ValueError(f"the batch handler returned {plural(len(value), 'result')} for {plural(count, 'job')}")
        return None


class Batches:
    """Gathers attempts into batches: at most `calls` of them run at once, each with at most `most` jobs.

    A batch waits up to `wait_s` for more after its first job. Used on the loop's thread.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, begin: Callable[[Batch], None], over: Callable[[Batch], None]
    ) -> None:
        self._loop = loop
        self._begin = begin
        self._told = over
        self._gathering: dict[int, Batch] = {}
        self._ready: deque[Batch] = deque()
        self._of: dict[int, Batch] = {}
        self._running = 0
        self._calls = self._most = 1
        self._wait_s = 0.0

    def use(self, calls: int, most: int, wait_s: float) -> None:
        """Gather by these numbers from now on."""
        self._calls, self._most, self._wait_s = calls, most, wait_s
        self._start_ready()

    @property
    def free(self) -> int:
        """How many more jobs there is room for: in batches that are gathered, and in calls that nobody makes yet."""
        idle = self._calls - self._running - len(self._gathering) - len(self._ready)
        if idle < 0:
            return 0
        return idle * self._most + sum(self._most - len(batch.attempts) for batch in self._gathering.values())

    def of(self, attempt: Attempt) -> Batch | None:
        """Return the batch of an attempt; None when its call is over."""
        return self._of.get(attempt.slot)

    def add(self, attempt: Attempt) -> None:
        """Put an attempt into the batch of its handler; a suspect has one of its own."""
        key = id(attempt.policy)
        batch = self._gathering.get(key)
        if batch is None:
            batch = self._gathering[key] = Batch(attempt.policy, self._over)
            if self._wait_s:
                batch.timer = self._loop.call_later(self._wait_s, self._close, key)
        batch.attempts.append(attempt)
        self._of[attempt.slot] = batch
        if len(batch.attempts) >= self._most or attempt.taken.suspect:
            self._close(key)

    def came(self) -> None:
        """No more jobs are at hand: without a wait what is gathered goes now."""
        if not self._wait_s:
            self.flush()

    def flush(self) -> None:
        """Wait for nothing more."""
        for key in list(self._gathering):
            self._close(key)

    def drop(self, attempt: Attempt) -> None:
        """An attempt ended by itself; its call goes on for the others."""
        self._of.pop(attempt.slot, None)

    def _close(self, key: int) -> None:
        batch = self._gathering.pop(key)
        if batch.timer is not None:
            batch.timer.cancel()
        self._ready.append(batch)
        self._start_ready()

    def _start_ready(self) -> None:
        while self._ready and self._running < self._calls:
            self._running += 1
            self._begin(self._ready.popleft())

    def _over(self, batch: Batch) -> None:
        self._running -= 1
        for attempt in batch.attempts:
            if self._of.get(attempt.slot) is batch:
                del self._of[attempt.slot]
        self._told(batch)
        self._start_ready()
