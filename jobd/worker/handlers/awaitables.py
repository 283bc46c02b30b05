"""Whether a handler gives an awaitable, and how one is run to its end in a thread.

An explicit `mode` wins over what the function looks like: `thread` and `process` run whatever the call returns to its
end, an awaitable too; `async` awaits it on the worker's loop, and needs one.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.worker.handlers.job import Job

    Call = Callable[[Job], Any]

_RUNS_A_LOOP = frozenset({"run", "run_until_complete", "Runner", "async_to_sync", "run_coroutine_threadsafe"})
"""Names in a wrapper around an `async def` that tell that it runs it to its end itself."""

_JSON_TYPES = frozenset({dict, list, str, int, float, bool, type(None)})
"""What nearly every handler returns; asking anything else for its `__await__` costs half a microsecond."""

_private_loops: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = {}
"""{thread: (its loop, the task of its handler)} of the handlers that run to their end in a thread."""


def looks_async(function: Any) -> bool:
    """Tell whether calling this gives an awaitable, from the outermost layer inwards until one of them says so."""
    while True:
        if is_coroutine_function(function):
            return True
        if isinstance(function, functools.partial):
            function = function.func
        elif not (inspect.isroutine(function) or inspect.isclass(function)) and is_coroutine_function(
            type(function).__call__
        ):
            return True
        elif hasattr(function, "__wrapped__") and not _names_in(function) & _RUNS_A_LOOP:
            function = function.__wrapped__
        else:
            return False


def is_coroutine_function(function: Any) -> bool:
    """Tell whether this itself is an `async def`, or marked as one (asgiref's sync_to_async marks what it makes)."""
    if inspect.iscoroutinefunction(function):
        return True
    marker = getattr(asyncio.coroutines, "_is_coroutine", None)
    return marker is not None and getattr(function, "_is_coroutine", None) is marker


def may_be_async(function: Any) -> bool:
    """Tell whether a plain function could return an awaitable: by its annotation, or what its code speaks of."""
    if looks_async(function):
        return True
    core = function.func if isinstance(function, functools.partial) else function
    if not inspect.isroutine(core):
        core = type(core).__call__
    core = inspect.unwrap(getattr(core, "__func__", core))
    if not inspect.isfunction(core):
        return True  # compiled code tells nothing: its first run will show
    said = str(core.__annotations__.get("return", "Any"))
    if not said.endswith("Any"):
        return any(word in said for word in ("Awaitable", "Coroutine", "Future", "Task"))
    spoken_of = [core.__globals__.get(name) for name in _names_in(core)]
    closed_over = [cell.cell_contents for cell in core.__closure__ or () if cell != type(cell)()]
    return any(each is asyncio or is_coroutine_function(each) for each in spoken_of + closed_over)


def _names_in(function: Any) -> frozenset[str]:
    code = getattr(function, "__code__", None)
    return frozenset(code.co_names) if code is not None else frozenset()


def to_its_end(call: Call) -> Call:
    """Return `call`, which runs an awaitable it gets to its end on an event loop of this thread's own."""

    def run(job: Job) -> Any:
        value = call(job)
        if type(value) in _JSON_TYPES or not inspect.isawaitable(value):
            return value
        return run_to_its_end(value)

    return run


def run_to_its_end(awaitable: Awaitable[Any]) -> Any:
    """Run an awaitable on an event loop of this thread's own; `cancel_in` cancels it."""
    with asyncio.Runner() as runner:
        return runner.run(_shown(awaitable))


async def _shown(awaitable: Awaitable[Any]) -> Any:
    me, task = threading.get_ident(), asyncio.current_task()
    if task is not None:  # it is: this runs as one
        _private_loops[me] = asyncio.get_running_loop(), task
    try:
        return await awaitable
    finally:
        _private_loops.pop(me, None)


def cancel_in(thread_id: int) -> bool:
    """Cancel the awaitable that this thread runs; False when it runs none."""
    found = _private_loops.get(thread_id)
    if found is None:
        return False
    loop, task = found
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:
        return False  # It is closed: what it ran is over.
    return True


def awaited(call: Call) -> Callable[[Job], Awaitable[Any]]:
    """Return `call` as a coroutine function that says clearly when it did not get an awaitable."""

    async def run(job: Job) -> Any:
        value = call(job)
        if not inspect.isawaitable(value):
            kind = type(value).__name__
            raise TypeError(f'mode "async" needs an awaitable, and the handler returned {kind}; use mode = "thread"')
        return await value

    return run
