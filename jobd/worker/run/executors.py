"""How a slot runs a handler: a coroutine on the loop, or a worker thread, which takes attempts one after another.

An executor starts an attempt and calls `over(attempt)` on the loop when `attempt.finish` says how it ended. `interrupt`
never hits the attempt after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
from typing import TYPE_CHECKING, Any

from jobd.errors import Cancelled, JobTimeout
from jobd.worker import internal_errors, standard_files
from jobd.worker.handlers.awaitables import cancel_in
from jobd.worker.run.attempt import Attempt, Interruption
from jobd.worker.run.first_step import FirstSteps
from jobd.worker.run.handover import QUICK_S, Handover

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable

    from jobd.worker.handlers.job import Job
    from jobd.worker.run.batches import Batch

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = [ctypes.c_ulong, ctypes.py_object]


class CoroutineExecutor:
    """Runs async handlers: one task, with a context of its own, for each job.

    They begin by `go` and not by `start`: all jobs of a reply are shown as running before the first of them computes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[Attempt], None]) -> None:
        self._loop = loop
        self._over = over
        self._first_steps = FirstSteps(loop)
        self._waiting: list[Attempt] = []

    def start(self, attempt: Attempt) -> None:
        """Have an attempt begun by the next `go`."""
        self._waiting.append(attempt)

    @property
    def has_waiting(self) -> bool:
        """Whether any wait for `go`."""
        return bool(self._waiting)

    def go(self) -> None:
        """Begin what waits for it, in order; a handler that awaits nothing is over by then."""
        waiting, self._waiting = self._waiting, []
        for attempt in waiting:
            attempt.task = self._first_steps.begin(self._serve(attempt))

    def start_batch(self, batch: Batch) -> None:
        """Begin a call with several jobs, which tells by itself when it is over."""
        batch.task = internal_errors.run(self._loop, batch.serve())

    def interrupt(self, attempt: Attempt | Batch) -> None:
        """Cancel an attempt; `attempt.interruption` says why."""
        # A task that is cancelled before its first step would never reach the code below, and the run never end.
        if attempt.task is not None and attempt.started_at:
            attempt.task.cancel(attempt.interruption.value)

    async def _serve(self, attempt: Attempt) -> None:
        try:
            try:
                call = attempt.begin()
                value = await call(attempt.job)
            # Whatever the handler raises, SystemExit included, is the end of this attempt and of nothing else.
            except BaseException as error:
                await attempt.failed_on_loop(error)
            else:
                attempt.succeeded(value)
            self._over(attempt)
        except BaseException as error:  # not the handler's, and nobody awaits this task
            internal_errors.tell(self._loop, error)


class ThreadExecutor:
    """Runs plain handlers: each in a thread that serves one run at a time; threads are started as they are needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[Attempt], None]) -> None:
        self._loop = loop
        self._over = over
        self._handover: Handover[Attempt | ThreadCall | Batch] = Handover(loop, self._collect)
        self._threads = 0
        self._running = 0
        # What `setup` put into context variables is there for every job; what a job puts there is gone after it.
        self._context = contextvars.copy_context()

    def start(self, attempt: Attempt | ThreadCall | Batch) -> None:
        """Begin a call; an attempt begins by the next `go`, with all others of its reply."""
        if isinstance(attempt, Attempt):
            attempt.guard = threading.Lock()
        self._running += 1
        if self._running > self._threads:
            self._threads += 1
            threading.Thread(target=self.serve, name=f"jobd-thread-{self._threads}", daemon=True).start()
        self._handover.put(attempt)
        if not isinstance(attempt, Attempt):
            self._handover.go()

    def go(self, *, alone: bool) -> None:
        """Have attempts begun; `alone`: nothing else waits for the loop's thread, which may wait for quick ones."""
        if alone:
            self._handover.go_and_wait()
        else:
            self._handover.go()

    def expect_thread(self) -> None:
        """Count on a thread that will call `serve`: none is started in its place (mode process)."""
        self._threads += 1

    def interrupt(self, attempt: Attempt | ThreadCall | Batch) -> None:
        """Raise JobTimeout or Cancelled in the run's thread: at once in Python code, else when a C call returns."""
        with attempt.guard:
            if attempt.thread_id and not cancel_in(attempt.thread_id):
                attempt.struck = True
                kind = JobTimeout if attempt.interruption is Interruption.TIMED_OUT else Cancelled
                _raise_in_thread(attempt.thread_id, kind)

    def awaited(self, call: Callable[[Job], Any]) -> Callable[[Job], Awaitable[Any]]:
        """Return `call` as a coroutine function. When it is cancelled, the thread is interrupted and waited for."""

        async def awaited(job: Job) -> Any:
            inner = ThreadCall(job, call)
            self.start(inner)
            while not inner.ended.done():
                try:
                    await asyncio.shield(inner.ended)
                except asyncio.CancelledError as cancel:
                    # The slot is not free before the thread is: what cancelled us shows in what the handler raises.
                    inner.interruption = _reason_of(cancel)
                    self.interrupt(inner)
            return inner.result()

        return awaited

    def dismiss(self) -> None:
        """Let one thread that serves return once it has nothing to do."""
        self._handover.put(None)
        self._handover.go()

    def serve(self) -> None:
        """Serve attempts on this thread until `dismiss`; a worker's threads end with the process."""
        try:
            self._serve(threading.get_ident())
        except BaseException as error:  # not a handler's: those end their attempt
            internal_errors.tell(self._loop, error)

    def _serve(self, thread_id: int) -> None:
        for attempt in self._handover.runs():
            self._attempt(attempt, thread_id)
            del attempt  # not kept while the thread is idle

    def _attempt(self, attempt: Attempt | ThreadCall | Batch, thread_id: int) -> None:
        """Run the handler and settle it; a late exception of `interrupt` is caught here, whenever it comes."""
        while True:
            try:
                if not attempt.settled:
                    attempt.thread_id = thread_id
                    (attempt.context or self._context.copy()).run(_call, attempt)
                with attempt.guard:
                    attempt.thread_id = 0
                if attempt.struck:
                    # It may still be on its way: withdraw it, or it hits the next job.
                    self._withdraw(thread_id)
                break
            except (JobTimeout, Cancelled) as late:
                if not attempt.settled:
                    attempt.failed(late)

    def _withdraw(self, thread_id: int) -> None:
        # Should it come in this very call, then that was the last of it.
        with contextlib.suppress(JobTimeout, Cancelled):
            _raise_in_thread(thread_id, ctypes.py_object())

    def _collect(self, through: deque[Attempt | ThreadCall | Batch]) -> tuple[int, int]:
        standard_files.mend()  # before anything is opened that would get a number of these
        quick = slow = 0
        while through:
            attempt = through.popleft()
            self._running -= 1
            if isinstance(attempt, Attempt):
                if attempt.ended_at - attempt.started_at < QUICK_S:
                    quick += 1
                else:
                    slow += 1
                self._over(attempt)
            else:
                slow += 1
                attempt.tell()
        return quick, slow


def _reason_of(cancel: asyncio.CancelledError) -> Interruption:
    """Return why the executor cancelled; a cancel of anybody else's within the handler is most likely a time limit."""
    try:
        return Interruption(cancel.args[0])
    except (IndexError, ValueError):
        return Interruption.TIMED_OUT


def _call(attempt: Attempt | ThreadCall | Batch) -> None:
    try:
        call: Callable[[Any], Any] = attempt.begin()
        value = call(attempt.job)
    # As with coroutines: the end of this attempt and of nothing else.
    except BaseException as error:
        attempt.failed(error)
    else:
        attempt.succeeded(value)


class ThreadCall:
    """What a thread runs for a coroutine, in the coroutine's context; how it ends goes into `ended`.

    It is for handlers inside context managers that only a coroutine can enter.
    """

    def __init__(self, job: Job, call: Callable[[Job], Any]) -> None:
        self.job = job
        self.interruption = Interruption.NONE
        self.settled = False
        self.guard = threading.Lock()
        self.thread_id = 0
        self.struck = False
        self.context: contextvars.Context | None = contextvars.copy_context()
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None

    def begin(self) -> Callable[[Job], Any]:
        """Return what to call."""
        return self._call

    def succeeded(self, value: Any) -> None:
        """Keep what the handler returned."""
        self._value = value
        self.settled = True

    def failed(self, error: BaseException) -> None:
        """Keep what the handler raised."""
        self._error = error
        self.settled = True

    def tell(self) -> None:
        """Tell the coroutine; on the loop."""
        self.ended.set_result(None)

    def result(self) -> Any:
        """Return or raise what the handler did."""
        if self._error is not None:
            raise self._error
        return self._value
