"""How a slot runs a handler: a coroutine on the loop, or a lane (a thread that takes runs one after another).

An executor starts a run and calls `over(run)` on the loop when `run.finish` says how it ended. A run is interrupted by
`interrupt`, which never hits the run after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from jobd.errors import Cancelled, JobTimeout
from jobd.worker.run.attempt import Interruption, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.worker.run.lane_call import LaneCall

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = [ctypes.c_ulong, ctypes.py_object]


class CoroutineExecutor:
    """Runs async handlers: one task, with a context of its own, for each job."""

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[Run], None]) -> None:
        self._loop = loop
        self._over = over

    def start(self, run: Run) -> None:
        """Begin a run."""
        run.task = self._loop.create_task(self._serve(run))

    def interrupt(self, run: Run) -> None:
        """Cancel a run; `run.interruption` says why."""
        # A task that is cancelled before its first step would never reach the code below, and the run never end.
        if run.task is not None and run.started_at:
            run.task.cancel()

    async def _serve(self, run: Run) -> None:
        try:
            call = run.begin()
            value = await call(run.job)
        # Whatever the handler raises, SystemExit included, is the end of this attempt and of nothing else.
        except BaseException as error:
            run.failed(error)
        else:
            run.succeeded(value)
        self._over(run)


class LaneExecutor:
    """Runs plain handlers: each in a thread that serves one run at a time; threads are started as they are needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[Run], None]) -> None:
        self._loop = loop
        self._over = over
        self._feed: SimpleQueue[Run | LaneCall] = SimpleQueue()
        self._through: deque[Run | LaneCall] = deque()
        self._told = False
        self._lanes = 0
        self._running = 0
        # What `setup` put into context variables is there for every job; what a job puts there is gone after it.
        self._context = contextvars.copy_context()

    def start(self, run: Run | LaneCall) -> None:
        """Begin a run."""
        if isinstance(run, Run):
            run.guard = threading.Lock()
        self._running += 1
        if self._running > self._lanes:
            self._lanes += 1
            threading.Thread(target=self.serve, name=f"jobd-lane-{self._lanes}", daemon=True).start()
        self._feed.put(run)

    def expect_lane(self) -> None:
        """Count on a thread that will call `serve`: none is started in its place (mode process)."""
        self._lanes += 1

    def interrupt(self, run: Run | LaneCall) -> None:
        """Raise JobTimeout or Cancelled in the run's thread: at once in Python code, else when a C call returns."""
        with run.guard:
            if run.thread_id:
                run.struck = True
                kind = JobTimeout if run.interruption is Interruption.TIMED_OUT else Cancelled
                _raise_in_thread(run.thread_id, kind)

    def serve(self) -> NoReturn:
        """Serve runs on this thread, for ever: it ends with the process."""
        thread_id = threading.get_ident()
        while True:
            run = self._feed.get()
            self._attempt(run, thread_id)
            self._through.append(run)
            # Dropped before the wait: a finished job's data must not stay alive as long as the lane is idle.
            del run
            if not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._collect)

    def _attempt(self, run: Run | LaneCall, thread_id: int) -> None:
        """Run the handler and settle it; a late exception of `interrupt` is caught here, whenever it comes."""
        while True:
            try:
                if not run.settled:
                    run.thread_id = thread_id
                    (run.context or self._context.copy()).run(_call, run)
                with run.guard:
                    run.thread_id = 0
                if run.struck:
                    # It may still be on its way: withdraw it, or it hits the next job.
                    self._withdraw(thread_id)
                break
            except (JobTimeout, Cancelled) as late:
                if not run.settled:
                    run.failed(late)

    def _withdraw(self, thread_id: int) -> None:
        # Should it come in this very call, then that was the last of it.
        with contextlib.suppress(JobTimeout, Cancelled):
            _raise_in_thread(thread_id, ctypes.py_object())

    def _collect(self) -> None:
        # Cleared first: a lane that appends from here on calls again.
        self._told = False
        through = self._through
        while through:
            run = through.popleft()
            self._running -= 1
            if isinstance(run, Run):
                self._over(run)
            else:
                run.tell()


def _call(run: Run | LaneCall) -> None:
    try:
        value = run.begin()(run.job)
    # As with coroutines: the end of this attempt and of nothing else.
    except BaseException as error:
        run.failed(error)
    else:
        run.succeeded(value)
