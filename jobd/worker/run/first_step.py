"""Tasks that begin where they are made: the first step runs here and now, not in the next turn of the event loop.

Most handlers that await nothing are over then, and a job costs one round of epoll less. It is an ordinary task all the
same, with a context of its own: current_task, cancel, timeouts and context variables are as ever.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Coroutine


class FirstSteps:
    """Makes tasks on one loop, from its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Any = loop
        self._step: Callable[[], None] | None = None
        self._context: contextvars.Context | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Return a task that has made its first step.

        Inside of another task, and where the application has a task factory of its own, the step comes later.
        """
        loop = self._loop
        if asyncio.current_task(loop) is not None or loop.get_task_factory() is not None:
            task: asyncio.Task[None] = loop.create_task(work)
            return task
        return self._begin(work)

    if sys.version_info >= (3, 12):

        def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return asyncio.Task(work, loop=self._loop, eager_start=True)

    else:

        def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            loop = self._loop
            # A new task asks its loop for its first step, and for nothing else.
            loop.call_soon = self._catch
            try:
                task = asyncio.Task(work, loop=loop)
            finally:
                del loop.call_soon
            step, context = self._step, self._context
            self._step = self._context = None
            if step is not None and context is not None:
                context.run(step)
            return task

        def _catch(self, step: Callable[[], None], *, context: contextvars.Context) -> None:
            self._step, self._context = step, context
