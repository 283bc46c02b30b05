"""A plain handler inside context managers that only a coroutine can enter: its call goes to a lane and is awaited."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

from jobd.worker.run.attempt import Interruption

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.worker.handlers.job import Job
    from jobd.worker.run.executors import LaneExecutor


class LaneCall:
    """What a lane runs for a coroutine, in the coroutine's context; how it ends goes into `ended`."""

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


def in_lane(lanes: LaneExecutor, call: Callable[[Job], Any]) -> Callable[[Job], Awaitable[Any]]:
    """Return `call` as a coroutine function. When it is cancelled, the thread is interrupted and waited for."""

    async def awaited(job: Job) -> Any:
        lane_call = LaneCall(job, call)
        lanes.start(lane_call)
        while not lane_call.ended.done():
            try:
                await asyncio.shield(lane_call.ended)
            except asyncio.CancelledError:
                # The slot is not free before the thread is: what cancelled us shows in what the handler raises.
                lane_call.interruption = Interruption.TIMED_OUT
                lanes.interrupt(lane_call)
        return lane_call.result()

    return awaited
