"""The application's `on_failed`: called with a job whose last attempt failed, before Redis is told."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from jobd.errors import HandlerError
from jobd.worker.handlers.awaitables import looks_async, run_to_its_end
from jobd.worker.handlers.lookup import load_callable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.worker.handlers.job import Job


class OnFailed:
    """`function(job)` or `function(job, error)`, def or async def. It is called where the handler ran."""

    def __init__(self, function: Callable[..., Any], path: str = "") -> None:
        """Look at how it is to be called. Raises HandlerError when it takes neither one nor two arguments."""
        self._function = function
        self._is_async = looks_async(function)
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError):
            self._count = 2
            return
        fitting = [count for count in (2, 1) if _fits(signature, count)]
        if not fitting:
            raise HandlerError(path, "signature", f'cannot use "{path}" as on_failed: write (job) or (job, error)')
        self._count = fitting[0]

    def call(self, job: Job, error: BaseException) -> None:
        """Call it from a thread; an awaitable is run to its end."""
        value = self._function(*(job, error)[: self._count])
        if inspect.isawaitable(value):
            run_to_its_end(value)

    async def call_on_loop(self, job: Job, error: BaseException) -> None:
        """Call it from the worker's loop: there when it is async, else in a thread."""
        if self._is_async:
            await self._function(*(job, error)[: self._count])
        else:
            await asyncio.to_thread(self.call, job, error)


def load_on_failed(path: str | None) -> OnFailed | None:
    """Return what a file's `on_failed` names. Raises HandlerError."""
    return OnFailed(load_callable(path), path) if path else None


def _fits(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return False
    return True
