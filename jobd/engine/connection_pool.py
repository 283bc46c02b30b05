"""redis-py's pools with a short way: a connection that was given back is handed to the next caller as it is.

Half of what redis-py takes around one small command is its pool: a queue with a lock and two conditions, counters for
its metrics, on asyncio a timeout for each. Here a connection that comes back stays outside, at hand, unless
somebody waits for one; opening, limits, waiting and closing remain redis-py's.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Any

import redis
import redis.asyncio
import redis.exceptions as failures


class Pool(redis.BlockingConnectionPool):
    """Thread-safe and fork-safe as redis-py's. It counts what is at hand as in use."""

    def reset(self) -> None:
        """Begin empty: at the start, and in a forked child, where the parent's locks may be held for ever."""
        self._at_hand: list[Any] = []
        self._waiting = 0
        self._guard = Lock()
        super().reset()  # type: ignore[no-untyped-call]

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Return a connection that is open, or made anew; wait for one as redis-py does when all are in use."""
        if self.pid != os.getpid():
            return super().get_connection()  # type: ignore[no-untyped-call]
        with self._guard:
            connection = self._at_hand.pop() if self._at_hand else None
            # Counted before looking into redis-py's pool: from here on what comes back goes there.
            self._waiting += connection is None
        if connection is None:
            try:
                return super().get_connection()  # type: ignore[no-untyped-call]
            finally:
                with self._guard:
                    self._waiting -= 1
        try:
            self._check(connection)
        except BaseException:
            super().release(connection)  # type: ignore[no-untyped-call]
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back."""
        if self.pid == os.getpid():
            with self._guard:
                if not self._waiting:
                    self._at_hand.append(connection)
                    return
        super().release(connection)  # type: ignore[no-untyped-call]

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close the connections, those at hand too; which else is the caller's choice in some versions of redis-py."""
        while self._at_hand:
            super().release(self._at_hand.pop())  # type: ignore[no-untyped-call]
        super().disconnect(*args, **kwargs)

    def _check(self, connection: Any) -> None:
        """Make it anew when the server has closed it, or when an answer nobody waits for lies in it."""
        connection.connect()
        try:
            if not connection.can_read():
                return
        except (failures.ConnectionError, failures.TimeoutError, OSError):
            pass
        connection.disconnect()
        connection.connect()


class AsyncPool(redis.asyncio.BlockingConnectionPool):
    """As Pool, for one event loop."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._at_hand: list[Any] = []
        self._waiting = 0
        self._unused = 0
        """How many at hand nobody has needed since the last `close_unused`; they lie at the bottom."""

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As Pool.get_connection."""
        if not self._at_hand:
            self._waiting += 1
            try:
                return await super().get_connection()  # type: ignore[no-untyped-call]
            finally:
                self._waiting -= 1
        connection = self._at_hand.pop()
        self._unused = min(self._unused, len(self._at_hand))
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await super().release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back."""
        if self._waiting:
            await super().release(connection)
        else:
            self._at_hand.append(connection)

    async def close_unused(self) -> None:
        """Close the connections that nobody has needed since this was called last, but one."""
        over, self._at_hand = (
            self._at_hand[1 : self._unused],
            [*self._at_hand[:1], *self._at_hand[max(1, self._unused) :]],
        )
        self._unused = len(self._at_hand)
        await self._close(over)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections, those at hand too."""
        over, self._at_hand = self._at_hand, []
        await self._close(over)
        if inuse_connections:
            await super().disconnect(inuse_connections=True)

    async def _close(self, over: list[Any]) -> None:
        """Close these, and those that came back while somebody waited, which redis-py's pool has.

        Nobody can get one meanwhile: redis-py hands out what it is about to close, and the command on it is lost.
        """
        idle = self._available_connections[:]
        self._available_connections.clear()  # a pool makes new ones as it needs them
        try:
            for connection in [*over, *idle]:
                await connection.disconnect(nowait=True)
        finally:
            for connection in over:
                await super().release(connection)
