"""The context managers of `wrap`: entered around each job, outermost first, sync or async."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.worker.handlers.lookup import load_callable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobd.worker.handlers.job import Job


@dataclass(frozen=True, slots=True)
class Wrap:
    """One context manager: `make(job)` gives it; `on_loop` tells that it can only be entered by a coroutine."""

    make: Callable[[Job], Any]
    on_loop: bool
    path: str


def load_wraps(paths: list[str]) -> list[Wrap]:
    """Return the wraps at these paths, outermost first.

    Raises:
        HandlerError: one cannot be imported, or gives no context manager for sure.
    """
    return [_wrap(load_callable(path), path) for path in paths]


def _wrap(factory: Any, path: str) -> Wrap:
    asynchronous = inspect.isasyncgenfunction(inspect.unwrap(factory)) or (
        hasattr(factory, "__aenter__") and not hasattr(factory, "__enter__")
    )
    return Wrap(factory if _takes_job(factory) else lambda _job: factory(), asynchronous, path)


def _takes_job(factory: Any) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (ValueError, TypeError):
        return False
    return any(
        each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD, each.VAR_POSITIONAL) for each in parameters
    )


def wrap_sync(call: Callable[[Job], Any], wraps: Sequence[Wrap]) -> Callable[[Job], Any]:
    """Return `call` inside these wraps, all of which can be entered by plain code."""
    if not wraps:
        return call

    def wrapped(job: Job) -> Any:
        with ExitStack() as stack:
            for wrap in wraps:
                stack.enter_context(_sync_manager(wrap, job))
            return call(job)

    return wrapped


def _sync_manager(wrap: Wrap, job: Job) -> Any:
    manager = wrap.make(job)
    if hasattr(manager, "__enter__"):
        return manager
    if hasattr(manager, "__aenter__"):
        kind = type(manager).__name__
        text = f'wrap "{wrap.path}" gives an asynchronous context manager ({kind}), which a plain def cannot enter'
        raise TypeError(text)
    raise _no_manager(wrap, manager)


def _no_manager(wrap: Wrap, given: Any) -> TypeError:
    return TypeError(f'wrap "{wrap.path}" gives no context manager, but a value of type {type(given).__name__}')


def wrap_async(call: Callable[[Job], Awaitable[Any]], wraps: Sequence[Wrap]) -> Callable[[Job], Awaitable[Any]]:
    """Return `call` inside these wraps, entered on the loop."""
    if not wraps:
        return call

    async def wrapped(job: Job) -> Any:
        async with AsyncExitStack() as stack:
            for wrap in wraps:
                manager = wrap.make(job)
                if hasattr(manager, "__aenter__"):
                    await stack.enter_async_context(manager)
                elif hasattr(manager, "__enter__"):
                    stack.enter_context(manager)
                else:
                    raise _no_manager(wrap, manager)
            return await call(job)

    return wrapped


def split_for_thread(wraps: Sequence[Wrap]) -> tuple[Sequence[Wrap], Sequence[Wrap]]:
    """Return (on the loop, in the thread) for a handler that runs in a thread; the order stays as written."""
    last = max((index for index, wrap in enumerate(wraps) if wrap.on_loop), default=-1)
    return wraps[: last + 1], wraps[last + 1 :]
