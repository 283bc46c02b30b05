"""As watcher.py, for asyncio: one task reads the queue's events for every waiting task of a queue object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.client.producer import RECHECK_S
from jobd.engine.outcome import End, Ending, job_outcome, past_events, watch_events
from jobd.errors import JobdError

if TYPE_CHECKING:
    from jobd.engine.keys import Keys
    from jobd.engine.runner import AsyncRunner


class AsyncWatcher:
    """Belongs to one event loop. The reader runs only while somebody waits."""

    def __init__(self, runner: AsyncRunner, keys: Keys, block_ms: int) -> None:
        self._runner = runner
        self._keys = keys
        self._block_ms = block_ms
        self._waiters: dict[str, list[asyncio.Future[Ending]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    async def wait(self, job_id: str, event_id: str) -> Ending:
        """Return how the job ended; the caller bounds the time. `event_id` as in Watcher.wait.

        Raises:
            RedisUnavailable: the connection failed; the job goes on, and waiting again is harmless.
        """
        waiter: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        # Registered before the look at the hash: an end between the two must find the waiter.
        self._waiters.setdefault(job_id, []).append(waiter)
        try:
            while True:
                ending = await self._runner.run(job_outcome(self._keys, job_id))
                if ending.end is End.MISSING:
                    if waiter.done():
                        return waiter.result()
                    return await self._search(job_id, event_id) or ending
                if ending.end is not End.PENDING:
                    return ending
                self._read_from(ending.value)
                await asyncio.wait([waiter], timeout=RECHECK_S)
                if waiter.done():
                    return waiter.result()
        finally:
            self._forget(job_id, waiter)

    async def close(self) -> None:
        """End the reader and every wait. Twice is harmless."""
        self._closed = True
        self._fail(JobdError("the queue object was closed"))
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _search(self, job_id: str, after: str) -> Ending | None:
        while True:
            page = await self._runner.run(past_events(self._keys, after))
            if job_id in page.endings:
                return page.endings[job_id]
            if not page.full:
                return None
            after = page.last_id

    def _read_from(self, event_id: str) -> None:
        """Have a reader; a running one is already past `event_id` or will come to it."""
        if self._closed:
            raise JobdError("the queue object was closed")
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(event_id), name=f"jobd events {self._keys.queue}")

    async def _read(self, after: str) -> None:
        while self._waiters:
            try:
                page = await self._runner.run(watch_events(self._keys, after, self._block_ms))
            except JobdError as error:
                self._fail(error)
                return
            after = page.last_id
            for job_id, ending in page.endings.items():
                for waiter in self._waiters.get(job_id, ()):
                    if not waiter.done():
                        waiter.set_result(ending)

    def _fail(self, error: JobdError) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)

    def _forget(self, job_id: str, waiter: asyncio.Future[Ending]) -> None:
        waiters = self._waiters[job_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[job_id]
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # a failure nobody came to see is not worth a warning
