"""Which queues there are: found by looking through the keys of the Redis now and then, never while a page waits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from jobd.errors import JobdError
from jobd.operations import table

if TYPE_CHECKING:
    from jobd.web.daemon_or_redis import DaemonOrRedis

_AGE_S = 15.0
_SHARE = 50
"""A search that took a second is not repeated for fifty: on a Redis of a hundred million keys as on an empty one."""

_FIRST_WAIT_S = 0.5
"""So long after its start pages wait for the first search; on most Redis it is over long before."""


class QueueNames:
    """The names found last, and the search that is under way."""

    def __init__(self, reach: DaemonOrRedis, owner: str) -> None:
        self._reach = reach
        self._owner = owner
        self._names: list[str] = []
        self._due = self._began = 0.0
        self._search: asyncio.Task[None] | None = None
        self.error: JobdError | TimeoutError | None = None
        """Why the last search found nothing out."""

    async def known(self) -> list[str]:
        """Return the names that are known now; in the first half second the search is waited for."""
        self.start()
        left = self._began + _FIRST_WAIT_S - time.monotonic()
        if self._search is not None and not self._names and left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._search), left)
        return self._names

    def start(self) -> None:
        """Begin a search, if it is time for one."""
        if self._search is None and time.monotonic() >= self._due:
            self._began = time.monotonic()
            self._search = asyncio.create_task(self._look())

    @property
    def searching(self) -> bool:
        """Whether the first search is still under way."""
        return self._search is not None and not self._names

    def forget(self) -> None:
        """Look again at the next call: a queue came or went."""
        self._due = 0.0

    async def _look(self) -> None:
        try:
            found = await self._reach.ask(table.QUEUE_LIST, who=self._owner, timeout=None)
            self._names = [row["name"] for row in found["queues"]]
            self.error = None
        except (JobdError, TimeoutError) as error:
            self.error = error
        finally:
            took = time.monotonic() - self._began
            self._due = time.monotonic() + max(_AGE_S if self.error is None else 2.0, took * _SHARE)
            self._search = None

    async def close(self) -> None:
        """End the search."""
        if self._search is not None:
            self._search.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._search
