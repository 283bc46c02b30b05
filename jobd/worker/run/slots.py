"""The slots of a worker: starts the jobs a turn brought, watches their deadlines, gathers how they ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, cast

from jobd.engine.job import Limiter
from jobd.engine.outcome_policy import read_opts
from jobd.engine.states import Outcome
from jobd.engine.traces import tracer
from jobd.engine.turn import Note
from jobd.errors import Cancelled
from jobd.protocol.board import SLOTS, BoardWriter
from jobd.protocol.counts import RunEnd
from jobd.worker import internal_errors
from jobd.worker.handlers.job import Job
from jobd.worker.run.attempt import Attempt, Interruption
from jobd.worker.run.batches import Batch, Batches
from jobd.worker.run.ends import end_of, end_of_refused
from jobd.worker.run.executors import CoroutineExecutor, ThreadExecutor
from jobd.worker.run.iterations import Iterations
from jobd.worker.run.refusal import first_due, refusal_of
from jobd.worker.run.tracing import RunSpan

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from jobd.client import AsyncQueue, Queue
    from jobd.engine.add_options import AddOptions
    from jobd.engine.job import Finish, Taken
    from jobd.protocol.worker import Cancel, Numbers
    from jobd.worker.handlers.job_policy import JobPolicies, JobPolicy


TURN_BYTES = 64 * 1024 * 1024
"""Results of one turn, unless a single one is larger: Redis ends a connection that sends a gigabyte at once."""

LONGEST_LIMIT_S = 10.0
"""Longest sleep for a rate limit before asking again: a queue for which nobody asks for 15 s counts as not served."""


class Slots:
    """Slots and the attempts in them. Used on the loop's thread, except for what a Job calls.

    `ended` are attempts whose result no turn has taken yet; `notes` what jobs wrote, in order, to be popped from the
    left.
    """

    _attempt: type[Attempt] = Attempt

    def __init__(
        self, loop: asyncio.AbstractEventLoop, board: BoardWriter, *, queue: str, numbers: Numbers,
        policies: JobPolicies, wake: Callable[[], None], worker: int = 0,
    ) -> None:  # fmt: skip
        self.numbers: Numbers
        self.policies: JobPolicies
        self.stopping = False
        self.worker = worker
        self.ended: list[Attempt] = []
        self.notes: deque[Note] = deque()
        self.running: dict[int, Attempt] = {}
        self.suspects = 0
        self.taking_from = 0.0
        self.redis_now_ms: Callable[[], int | None] = lambda: None
        """Redis' time, None when it is unknown."""
        self.threads = ThreadExecutor(loop, self._over)
        self._coroutines = CoroutineExecutor(loop, self._over)
        self._batches = Batches(loop, self._start_batch, self._batch_over)
        self._iterations = Iterations(loop, lambda: self._own_queue, self._iteration_made)
        self._board = board
        self._counts = board.counts
        self.use(numbers, policies)
        self._tracer = tracer()
        self._loop = loop
        self._thread_id = threading.get_ident()
        self.queue = queue
        self._wake = wake
        self._free_slots = list(range(SLOTS - 1, -1, -1))
        self._held: set[str] = set()
        self._producers: dict[tuple[type, str], Queue | AsyncQueue] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._poked = False

    def use(self, numbers: Numbers, policies: JobPolicies) -> None:
        """Run the jobs to come by these numbers and policies; what runs already keeps its own."""
        self.numbers, self.policies = numbers, policies.inside_coroutines(self.threads.awaited)
        self._labels = {name: self._board.counts.label(name) for name in numbers.jobs}
        if numbers.batch_max is not None:
            self._batches.use(numbers.concurrency, numbers.batch_max, numbers.batch_wait_ms / 1000)

    @property
    def limiter(self) -> Limiter | None:
        """The queue's rate limit, None without one."""
        most, window_ms = self.numbers.limiter_max, self.numbers.limiter_duration_ms
        return None if most is None or window_ms is None else Limiter(most, window_ms)

    @property
    def free(self) -> int:
        """How many more jobs may run; what waits to be sent counts as through."""
        if self.numbers.batch_max is not None:
            return self._batches.free
        return max(0, self.numbers.concurrency - len(self.running))

    @property
    def slots_left(self) -> int:
        """How many slots hold no attempt, not even one whose result is still to be sent."""
        return len(self._free_slots)

    def held(self) -> frozenset[str]:
        """Ids of all jobs in hand: running, or through and not yet settled."""
        return frozenset(self._held)

    def start(self, jobs: Iterable[Taken], now_ms: int) -> None:
        """Begin jobs just taken; one that must not run ends at once, its failure rides in the next turn.

        Handlers begin by `go`.
        """
        for taken in jobs:
            self._begin(taken, now_ms)
        self._batches.came()
        self._board.busy(len(self.running))

    def go(self) -> None:
        """Begin what `start` has made ready; coroutines here and now, up to what each first waits for."""
        self.threads.go(alone=not self._coroutines.has_waiting)
        self._coroutines.go()

    def _begin(self, taken: Taken, now_ms: int) -> None:
        policy = self.policies.of(taken.name or "")
        known = policy or self.policies.nobody
        options = read_opts(taken.opts)
        job = Job(taken, self.queue, known.outcome.attempts_of(options), self)
        attempt = self._attempt(job, known, options, self._free_slots.pop(), self._board)
        if self._tracer is not None:
            attempt.span = RunSpan(self._tracer, job)
        self._held.add(taken.id)
        if taken.scheduler_id is not None:
            self.running[attempt.slot] = attempt
            self.suspects += taken.suspect
            # Shown as running: until the next iteration is made, its lock must be kept as that of any other.
            self._board.run(attempt.slot, taken.id, job.name, taken.attempts_started, (monotonic(), 0.0, 0.0))
            self._iterations.start(attempt)
            return
        self._run(attempt, now_ms)

    def _run(self, attempt: Attempt, now_ms: int) -> None:
        policy = self.policies.of(attempt.taken.name or "")
        finish = attempt.finish or self._refusal(attempt, policy, now_ms)
        if attempt.taken.attempts_started == 1:
            self._counts.waited((now_ms - first_due(attempt)) / 1000)
        if finish is not None:
            attempt.finish = finish
            end = end_of_refused(attempt)
            self._counts.ended(self._labels.get(attempt.job.name, 0), end)
            if attempt.span is not None:
                attempt.span.end(end, finish)
            self._end_unrun(attempt)
            return
        self.running[attempt.slot] = attempt
        if attempt.taken.suspect:
            self.suspects += 1
        if self.numbers.batch_max is not None:
            self._batches.add(attempt)
            return
        self._executor(attempt.policy).start(attempt)
        if attempt.policy.timeout_s:
            self._arm(monotonic() + attempt.policy.timeout_s)

    def end_otherwise(self, attempts: Iterable[Attempt]) -> None:
        """Send these results, which take the place of others that Redis refused, in the next turn."""
        for attempt in attempts:
            self._end_unrun(attempt)

    def _end_unrun(self, attempt: Attempt) -> None:
        finish = attempt.finish
        if finish is not None and finish.outcome is Outcome.FAILED and attempt.policy.on_failed is not None:
            # Shown as running meanwhile: its lock must be kept.
            self.running[attempt.slot] = attempt
            self.suspects += attempt.taken.suspect
            taken, moments = attempt.taken, (monotonic(), 0.0, 0.0)
            self._board.run(attempt.slot, taken.id, attempt.job.name, taken.attempts_started, moments)
            internal_errors.run(self._loop, self._tell_refused(attempt))
            return
        self.ended.append(attempt)
        self._wake()

    async def _tell_refused(self, attempt: Attempt) -> None:
        await attempt.tell_refused()
        del self.running[attempt.slot]
        self.suspects -= attempt.taken.suspect
        self._board.returned(attempt.slot)
        self._board.busy(len(self.running))
        if attempt.interruption is Interruption.LOST:
            attempt.finish = None
            self.settle((attempt,))
        else:
            self.ended.append(attempt)
        self._wake()

    def _start_batch(self, batch: Batch) -> None:
        if batch.policy.mode == "async":
            self._coroutines.start_batch(batch)
        else:
            self.threads.start(batch)
        if batch.policy.timeout_s:
            self._arm(monotonic() + batch.policy.timeout_s)

    def _iteration_made(self, attempt: Attempt) -> None:
        """Run a scheduler's job, or end it unrun, now that the one after it is there."""
        del self.running[attempt.slot]
        self.suspects -= attempt.taken.suspect
        self._run(attempt, time.time_ns() // 1_000_000)
        self._batches.came()
        if attempt.finish is not None and attempt.slot not in self.running:
            self._board.returned(attempt.slot)
        self._board.busy(len(self.running))
        self.go()

    def _refusal(self, attempt: Attempt, policy: JobPolicy | None, now_ms: int) -> Finish | None:
        if policy is not None and policy.expire_ms is not None:
            # Failed for good because of a clock that somebody set an hour ahead: not while Redis' clock is right.
            now_ms = min(now_ms, self.redis_now_ms() or now_ms)
        return refusal_of(attempt, policy, self.policies, self.numbers.unknown, now_ms)

    def collect(self) -> list[Attempt]:
        """Return the attempts that are through, for a turn to carry; they stay held until `settle`."""
        ended, self.ended = self.ended, []
        size = 0
        for index, attempt in enumerate(ended):
            size += len(attempt.finish.value) if attempt.finish is not None else 0
            if size > TURN_BYTES and index:
                self.ended = ended[index:]
                return ended[:index]
        return ended

    def settle(self, attempts: Iterable[Attempt]) -> None:
        """Free the slots of attempts whose result is in Redis, or not ours to send any more."""
        for attempt in attempts:
            self._board.clear(attempt.slot)
            self._free_slots.append(attempt.slot)
            self._held.discard(attempt.taken.id)

    def cancel(self, order: Cancel) -> None:
        """Interrupt the job a Cancel names; anything else is in that slot by now, or nothing: then nothing happens."""
        attempt = self.running.get(order.slot)
        if attempt is None or attempt.taken.id != order.job_id or attempt.taken.attempts_started != order.ats:
            return
        attempt.why = order.reason
        self.interrupt(attempt, Interruption.LOST if order.why == "lock-lost" else Interruption.CANCELLED)

    def interrupt(self, attempt: Attempt, why: Interruption) -> None:
        """Interrupt an attempt; the first reason counts, except that a lost lock or a stop overrides a timeout."""
        if attempt.interruption in (Interruption.NONE, Interruption.TIMED_OUT):
            attempt.interruption = why
        alone = why is not Interruption.STOPPED and why is not Interruption.TIMED_OUT
        batch = self._batches.of(attempt)
        if batch is not None and alone and batch.is_for_others(attempt):
            # Its call goes on for the others. If that is just ending all of them, it ends this one as interrupted.
            if batch.claim(attempt, apart=True):
                self._batches.drop(attempt)
                internal_errors.run(self._loop, self._end_in_batch(attempt))
            return
        if alone:
            attempt.kill_after_cancel(monotonic())
        if batch is None:
            self._executor(attempt.policy).interrupt(attempt)
        elif batch.interruption is Interruption.NONE:
            batch.interruption = why
            self._executor(attempt.policy).interrupt(batch)

    async def _end_in_batch(self, attempt: Attempt) -> None:
        await attempt.failed_on_loop(Cancelled(attempt.interruption.value))
        self._gone(attempt)
        self._wake()

    def interrupt_all(self) -> None:
        """Interrupt everything, because the worker stops."""
        self._batches.flush()
        for attempt in list(self.running.values()):
            self.interrupt(attempt, Interruption.STOPPED)

    # --- what a Job calls, from any thread ---------------------------------------------------------------------------

    def progressed(self, job: Job, value: bytes) -> None:
        """Keep a progress value until the next turn."""
        self._note("progress", job, value)

    def logged(self, job: Job, line: str) -> None:
        """Keep a log line until the next turn."""
        self._note("log", job, line.encode())

    def data_changed(self, job: Job, data: bytes) -> None:
        """Keep new data until the next turn."""
        self._note("data", job, data)

    def add(self, queue: str, name: str, data: Any, options: AddOptions) -> Any:
        """Add a job; on the loop's thread this must be awaited."""
        return self._producer(queue).add(name, data, **options)

    def children_values(self, job: Job) -> Any:
        """Read the results of a job's children; on the loop's thread this must be awaited."""
        return self._producer(job.queue).children_values(job.id)

    def ignored_children_failures(self, job: Job) -> Any:
        """Read the failures of a job's children that it ignores; on the loop's thread this must be awaited."""
        return self._producer(job.queue).ignored_children_failures(job.id)

    @property
    def _own_queue(self) -> AsyncQueue:
        return cast("AsyncQueue", self._producer(self.queue))

    def _producer(self, queue: str) -> Queue | AsyncQueue:
        from jobd.client import AsyncQueue, Queue

        asynchronous = threading.get_ident() == self._thread_id
        kind: type[Queue | AsyncQueue] = AsyncQueue if asynchronous else Queue
        # Kept: its connections are. Two threads that make one at the same time lose only the first one's connection.
        return self._producers.get((kind, queue)) or self._producers.setdefault((kind, queue), kind(queue))

    def _note(self, kind: Literal["progress", "log", "data"], job: Job, value: bytes) -> None:
        self.notes.append(Note(kind, job.id, value, read_opts(job.taken.opts).keep_logs or None))
        if threading.get_ident() == self._thread_id:
            self._wake()
        elif not self._poked:
            self._poked = True
            self._loop.call_soon_threadsafe(self._poke)

    def _poke(self) -> None:
        self._poked = False
        self._wake()

    # --- ends and deadlines ------------------------------------------------------------------------------------------

    def _executor(self, policy: JobPolicy) -> CoroutineExecutor | ThreadExecutor:
        return self._coroutines if policy.mode == "async" else self.threads

    def _over(self, attempt: Attempt) -> None:
        self._gone(attempt)
        self._wake()

    def _batch_over(self, batch: Batch) -> None:
        for attempt in batch.attempts:
            if batch.claim(attempt):
                self._gone(attempt)
        # Once for all of them: one turn carries the whole batch.
        self._wake()

    def _gone(self, attempt: Attempt) -> None:
        del self.running[attempt.slot]
        finish = attempt.finish
        ran_s = attempt.ended_at - attempt.started_at
        completed = finish is not None and finish.outcome is Outcome.COMPLETED
        self._board.count_run(ran_s, not completed)
        end = RunEnd.COMPLETED if completed else end_of(attempt)
        self._counts.ran(self._labels.get(attempt.job.name, 0), end, ran_s)
        if attempt.span is not None:
            attempt.span.end(end, finish)
        self._board.busy(len(self.running))
        if attempt.taken.suspect:
            self.suspects -= 1
        if attempt.limited_ms:
            # Until it is in Redis, which says so to whoever asks.
            hold_s = min(attempt.limited_ms / 1000, LONGEST_LIMIT_S)
            self.taking_from = max(self.taking_from, monotonic() + hold_s)
        if finish is None:
            self.settle((attempt,))
        else:
            self.ended.append(attempt)

    def _arm(self, at: float) -> None:
        # One timer for all slots, set to the earliest deadline: a timer each would cost more than most jobs.
        if self._timer is None or at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._deadlines_passed)

    def _deadlines_passed(self) -> None:
        self._timer = None
        now = monotonic()
        for attempt in list(self.running.values()):
            timeout = attempt.policy.timeout_s
            if not timeout or attempt.interruption is not Interruption.NONE:
                continue
            due = attempt.deadline_at or now + timeout
            if due <= now:
                self.interrupt(attempt, Interruption.TIMED_OUT)
            else:
                self._arm(due)
