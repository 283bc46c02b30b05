"""Pages that are open: one task renders each address for all who look at it, and sends the parts that changed."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from jobd.errors import JobdError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Parts = dict[str, str]

TICK_S = 2.0
_ALIVE_S = 15.0
"""A line is sent at least so often: a proxy closes what is silent, and a viewer that went away is noticed."""

VIEWERS_MAX = 500


class Hub:
    """The channels, by user and address."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, str], _Channel] = {}

    @property
    def viewers(self) -> int:
        """How many pages are open."""
        return sum(len(channel.queues) for channel in self._channels.values())

    async def follow(self, key: tuple[str, str], render: Callable[[], Awaitable[Parts]]) -> AsyncIterator[str]:
        """Yield server-sent events: every part first, then what changes."""
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = _Channel(render)
        queue = channel.join()
        try:
            yield "retry: 2000\n\n"
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), _ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            if channel.leave(queue):
                self._channels.pop(key, None)


class _Channel:
    def __init__(self, render: Callable[[], Awaitable[Parts]]) -> None:
        self._render = render
        self._last: Parts = {}
        self._trouble: str | None = None
        self.queues: set[asyncio.Queue[str]] = set()
        self._task = asyncio.create_task(self._run())

    def join(self) -> asyncio.Queue[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=100)
        if self._last:
            queue.put_nowait(_event("parts", self._last))
        if self._trouble is not None:
            queue.put_nowait(_event("trouble", self._trouble))
        self.queues.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[str]) -> bool:
        """Return whether that was the last viewer."""
        self.queues.discard(queue)
        if not self.queues:
            self._task.cancel()
        return not self.queues

    async def _run(self) -> None:
        while True:
            await self._once()
            await asyncio.sleep(TICK_S)

    async def _once(self) -> None:
        try:
            parts = await self._render()
        except (JobdError, OSError, TimeoutError) as error:
            self._tell(str(error) or type(error).__name__)
            return
        except Exception as error:
            self._tell(f"this page cannot be drawn ({type(error).__name__})")
            return
        changed = {name: html for name, html in parts.items() if self._last.get(name) != html}
        self._last = parts
        if self._trouble is not None:
            self._trouble = None
            self._send(_event("trouble", ""))
        if changed:
            self._send(_event("parts", changed))

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._send(_event("trouble", trouble))

    def _send(self, event: str) -> None:
        for queue in self.queues:
            # Who does not read that much gets the rest: each part is whole, a later one replaces it.
            if queue.full():
                with suppress(asyncio.QueueEmpty):
                    queue.get_nowait()
            queue.put_nowait(event)


def _event(name: str, value: object) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"
