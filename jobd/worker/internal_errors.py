"""A fault of jobd's own beside the fetch loop: in a callback or task of the event loop, or in a handlers' thread.

asyncio would write a line about it and go on, with a slot that nobody frees. It ends the worker: the daemon sees that,
and the jobs run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from types import TracebackType

_LOOPS = ("asyncio", "uvloop")

_tasks: set[asyncio.Task[None]] = set()
"""Those that run: a loop itself does not keep them from being collected."""


def watch(loop: asyncio.AbstractEventLoop, died: Callable[[BaseException], None]) -> None:
    """Have `died` called for what a callback of jobd's own raises; callbacks of the application go on as they were."""
    before = loop.get_exception_handler()

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and "task" not in context and _is_ours(error.__traceback__):
            died(error)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(failed)


def tell(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """A thread or task of jobd's own is about to end by this; callable from any thread."""
    loop.call_soon_threadsafe(_raise, error)


def run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that nobody awaits."""
    task = loop.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


def _raise(error: BaseException) -> None:
    raise error


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether the callback, the first frame below the loop's own, is a function of jobd's."""
    while trace is not None:
        room = trace.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if room not in _LOOPS:
            return bool(room == "jobd")
        trace = trace.tb_next
    return False
