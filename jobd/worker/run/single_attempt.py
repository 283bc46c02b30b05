"""One attempt of one job without a daemon and without Redis: what `jobd exec` and `jobd.testing` do.

It goes through the same slots, executors, binding, wraps, limits and outcome policy as in a worker.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from jobd.engine.job import Finish, Taken
from jobd.engine.options import new_job
from jobd.engine.states import Outcome
from jobd.errors import Cancelled
from jobd.worker.handlers.payload import to_json
from jobd.worker.run.attempt import Attempt, Interruption
from jobd.worker.run.executors import ThreadExecutor
from jobd.worker.run.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobd.engine.add_options import AddOptions
    from jobd.engine.new_job import NewJob
    from jobd.protocol.worker import Numbers
    from jobd.worker.handlers.job import Job
    from jobd.worker.handlers.job_policy import JobPolicies, JobPolicy

OUTCOMES = {
    Outcome.COMPLETED: "completed", Outcome.RETRY: "retry", Outcome.FAILED: "failed", Outcome.LATER: "delayed",
    Outcome.LIMITED: "rate_limited", Outcome.WAIT_FOR_CHILDREN: "waiting_children", Outcome.HAND_BACK: "handed_back",
}  # fmt: skip


@dataclass(slots=True)
class Added:
    """A job that a handler added."""

    queue: str
    name: str
    data: Any
    opts: dict[str, Any]
    id: str = ""


class Notes(Protocol):
    """Gets what a handler writes, as it writes it, from any thread."""

    def progressed(self, value: bytes) -> None:
        """A progress value (JSON)."""
        ...

    def logged(self, line: str) -> None:
        """A log line."""
        ...

    def data_changed(self, data: bytes) -> None:
        """New data (JSON)."""
        ...

    def add(self, queue: str, new: NewJob) -> Any:
        """Take a job added to a queue; returns what the handler gets for it."""
        ...

    def children_values(self) -> dict[str, Any]:
        """Return what the job's children returned, by their keys."""
        ...

    def ignored_children_failures(self) -> dict[str, str]:
        """Return why children failed that the job goes on without, by their keys."""
        ...


@dataclass(slots=True)
class Ending:
    """How the attempt ended: the result as JSON or the reason; `error` is what was raised, None for a refused job."""

    outcome: str
    value: bytes
    delay_ms: int = 0
    error: BaseException | None = None


@dataclass(slots=True)
class Around:
    """What is called before and after, once: the queue's setup and teardown."""

    setup: Callable[[], Any] | None = None
    teardown: Callable[[], Any] | None = None


class _NoBoard:
    """Stands in for the board, which shows a daemon what runs."""

    def run(self, *facts: Any) -> None:
        """Nobody looks."""

    returned = clear = busy = count_run = run

    @property
    def counts(self) -> _NoBoard:
        """Nobody counts either."""
        return self

    label = waited = ended = ran = run


class _Attempt(Attempt):
    """Keeps what was raised: a worker must not, it would keep the handler's frames alive."""

    __slots__ = ("error",)

    def _finish_of(self, error: BaseException) -> Finish | None:
        self.error = error
        return super()._finish_of(error)


class _Slots(Slots):
    _attempt = _Attempt
    sinks: dict[str, Notes]
    """By job id; what a job adds goes to the first."""
    refuses: bool

    def _refusal(self, attempt: Attempt, policy: JobPolicy | None, now_ms: int) -> Finish | None:
        return super()._refusal(attempt, policy, now_ms) if self.refuses or policy is None else None

    def progressed(self, job: Job, value: bytes) -> None:
        self.sinks[job.id].progressed(value)

    def logged(self, job: Job, line: str) -> None:
        self.sinks[job.id].logged(line)

    def data_changed(self, job: Job, data: bytes) -> None:
        self.sinks[job.id].data_changed(data)

    def add(self, queue: str, name: str, data: Any, options: AddOptions) -> Any:
        return self._given(self._first.add(queue, new_job(name, data, options, now_ms=_clock_ms())))

    def children_values(self, job: Job) -> Any:
        return self._given(self.sinks[job.id].children_values())

    def ignored_children_failures(self, job: Job) -> Any:
        return self._given(self.sinks[job.id].ignored_children_failures())

    @property
    def _first(self) -> Notes:
        return next(iter(self.sinks.values()))

    def _given(self, value: Any) -> Any:
        return _awaited(value) if threading.get_ident() == self._thread_id else value


async def _awaited(value: Any) -> Any:
    return value


@dataclass(slots=True)
class SingleAttempt:
    """What is to be run. `refuses`: a job that a worker would not run (expired, part of a flow) is not run here."""

    numbers: Numbers
    policies: JobPolicies
    queue: str
    notes: Notes
    around: Around = field(default_factory=Around)
    refuses: bool = True

    def run(self, taken: Taken, *, now_ms: int | None = None) -> Ending:
        """Run one attempt and return how it ended. Raises what setup or teardown raises.

        `now_ms` is the time by which the job may have expired (ms since 1970), None the clock's.
        """
        return self.run_batch([(taken, self.notes)], now_ms=now_ms)[0]

    def run_batch(self, batch: Sequence[tuple[Taken, Notes]], *, now_ms: int | None = None) -> list[Ending]:
        """Run one attempt of several jobs of one name, each with its notes; how each ended, in their order.

        As `run`. A queue with `batch` gives its handler as many of them at once as it says.
        """
        now_ms = _clock_ms() if now_ms is None else now_ms
        policy = self.policies.of(batch[0][0].name or "") if batch else None
        if policy is not None and policy.mode == "process":
            return self._run_on_main_thread(batch, now_ms)
        with asyncio.Runner() as runner:
            return runner.run(self._live(batch, now_ms, lambda _: None))

    def _run_on_main_thread(self, batch: Sequence[tuple[Taken, Notes]], now_ms: int) -> list[Ending]:
        """Run the handler on this thread, and the loop in another, as a worker does in mode process."""
        found: queue.SimpleQueue[ThreadExecutor | None] = queue.SimpleQueue()
        endings: list[list[Ending] | BaseException] = []

        def expected(threads: ThreadExecutor) -> None:
            threads.expect_thread()
            found.put(threads)

        def loop() -> None:
            try:
                with asyncio.Runner() as runner:
                    endings.append(runner.run(self._live(batch, now_ms, expected)))
            except BaseException as error:
                endings.append(error)
            found.put(None)

        threading.Thread(target=loop, name="jobd-loop", daemon=True).start()
        threads = found.get()
        if threads is not None:
            threads.serve()
            found.get()
        if isinstance(endings[0], BaseException):
            raise endings[0]
        return endings[0]

    async def _live(
        self, batch: Sequence[tuple[Taken, Notes]], now_ms: int, has_threads: Callable[[ThreadExecutor], None]
    ) -> list[Ending]:
        await _call(self.around.setup)
        try:
            over = asyncio.Event()
            slots = _Slots(
                asyncio.get_running_loop(), _NoBoard(), queue=self.queue, numbers=self.numbers,  # type: ignore[arg-type]
                policies=self.policies, wake=over.set,
            )  # fmt: skip
            slots.sinks, slots.refuses = {taken.id: notes for taken, notes in batch}, self.refuses
            has_threads(slots.threads)
            try:
                slots.start([taken for taken, _ in batch], now_ms)
                slots.go()
                while len(slots.ended) < len(batch):
                    over.clear()
                    await over.wait()
            finally:
                slots.threads.dismiss()
            ended = {attempt.taken.id: attempt for attempt in slots.ended}
            return [_ending(ended[taken.id]) for taken, _ in batch]
        finally:
            await _call(self.around.teardown)


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def added_of(queue: str, new: NewJob, job_id: str = "") -> Added:
    """Return a job that was added as people see it."""
    return Added(queue, new.name, json.loads(new.data), dict(new.opts), job_id or new.job_id or "")


def _ending(attempt: Attempt) -> Ending:
    finish, error = attempt.finish, getattr(attempt, "error", None)
    if finish is None:  # only what lost its lock or is stopped has none, and nobody does either here
        raise error or Cancelled(Interruption.LOST.value)
    return Ending(OUTCOMES[finish.outcome], finish.value, finish.delay_ms, error)


async def _call(function: Callable[[], Any] | None) -> None:
    value = function() if function is not None else None
    if inspect.isawaitable(value):
        await value


def taken_of(name: str, stored: Mapping[str, Any]) -> Taken:
    """Return a job as a turn would have brought it; `stored` holds what is known of its document, at least `data`."""
    return Taken(
        id=str(stored.get("id") or "1"), token="", name=name,
        data=to_json(stored["data"], "data"), opts=to_json(stored.get("opts") or {}, "opts"),
        timestamp=stored.get("timestamp") or _clock_ms(), delay_ms=0,
        priority=stored.get("priority") or 0, attempts_made=stored.get("attempts_made") or 0,
        attempts_started=0, crashes=0, deduplication_id=None, parent_key=stored.get("parent_key"),
        scheduler_id=None, deferred_failure=None, stacktrace=None, suspect=False,
    )  # fmt: skip
