"""Tasks that nobody awaits: kept until they end, and what one dies of is told at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = event_log(__name__)


class Background:
    """The tasks of one owner. `len` of it says how many run."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[object, None, None], name: str, *, died: Callable[[Exception], None] | None = None
    ) -> None:
        """Begin; `died` is called with what it should never have raised, once that is in the log."""

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            try:
                task.result()
            except asyncio.CancelledError:
                return
            except Exception as error:
                log.exception("background task failed", task=name, error=repr(error))
                if died is not None:
                    died(error)

        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(over)

    async def wait(self, limit_s: float | None = None) -> None:
        """Return when all that run now have ended, or after the limit."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=limit_s)

    async def stop(self) -> None:
        """Cancel them; returns when none of those that ran is left."""
        for task in self._tasks:
            task.cancel()
        await self.wait()
