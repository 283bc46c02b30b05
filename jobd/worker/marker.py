"""Wait for work: the worker's second connection, blocked in Redis on the queue's marker (wire-format.md 4.2)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from jobd.errors import JobdError, RedisUnavailable
from jobd.worker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.keys import Keys
    from jobd.locate import RedisSource

POLL_S = 5.0
"""Longest wait without a known due time: BullMQ's drainDelay. A lost marker costs at most that."""

LONGEST_WAIT_S = 10.0
"""Longest wait for a known due time, as BullMQ's."""

SHORTEST_WAIT_S = 0.002
"""Shorter timeouts block for ever on Redis before 7.0.8."""

LEAVE_S = 0.3
"""How long an ending worker waits for its wait to be over; Redis answers an UNBLOCK at once, or is gone."""

RETRY_S = 0.25
"""Between two tries to open the connection; the turn's own connection tells that Redis is away."""


def client_name(keys: Keys, worker_name: str) -> str:
    """Return the name that BullMQ's getWorkers looks for: prefix, the queue's name in base64, the worker's.

    Redis takes printable ASCII without spaces; of any other prefix the rest is underscores, which no getWorkers finds.
    """
    prefix = "".join(sign if "!" <= sign <= "~" else "_" for sign in keys.prefix)
    return f"{prefix}:{base64.b64encode(keys.queue.encode()).decode()}:w:{worker_name}"


class MarkerWait:
    """Blocks on the marker while it is wanted, and calls `found` when there may be work.

    `wanted()` is asked again when a marker came: one that nobody here can use is put back for others.
    """

    def __init__(
        self, source: RedisSource, keys: Keys, worker_name: str, wanted: Callable[[], bool], found: Callable[[], None],
    ) -> None:  # fmt: skip
        self._wire = Wire(source, client_name(keys, worker_name))
        self._keys = keys
        self._wanted = wanted
        self._found = found
        self._asked = asyncio.Event()
        self._next_due_ms: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._resting = False
        self._free = asyncio.Event()
        self._free.set()
        self.give_up_at = 0.0
        """When a wait in flight has been unanswered for too long (monotonic); 0: none."""

    @property
    def blocked_client(self) -> int:
        """Redis' number of the connection that is blocked now; 0 when none is."""
        return self._wire.client_id if self.give_up_at else 0

    def ask(self, next_due_ms: int | None) -> None:
        """Want the next marker, or the moment (wall clock, ms) the first delayed job is due."""
        self._expect(next_due_ms)
        self._resting = False
        self._asked.set()

    def drop(self) -> None:
        """Break off: the connection is closed, whatever it waits for."""
        self._wire.drop()

    def rest(self) -> None:
        """Close the connection once nothing waits on it, until asked again: this worker is quiet."""
        self._resting = True
        self._asked.set()

    async def left(self) -> None:
        """Return when nothing waits in Redis any more, or after LEAVE_S."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._free.wait()

    async def run(self) -> None:
        """Wait whenever asked to, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._resting:
                self._wire.drop()
                continue
            try:
                # Open even when there is no need to wait yet: BullMQ lists workers by this connection.
                if not self._wire.is_open:
                    await self._wire.open()
                if self._wanted() and (await self._wait_once() or not self._asked.is_set()):
                    self._found()
            except JobdError:
                self._wire.drop()
                await asyncio.sleep(RETRY_S)
                self._found()

    def _expect(self, due_ms: float | None) -> None:
        """Call `found` at that moment too: Redis looks at the ends of waits only every 100 ms."""
        self._next_due_ms = due_ms
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due_ms is not None and (rest := (due_ms - _now_ms()) / 1000) < LONGEST_WAIT_S:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, rest), self._found)

    async def _wait_once(self) -> bool:
        """Wait in Redis; return whether a marker of work came.

        When none did, whoever asked meanwhile has looked already.
        """
        timeout = self._timeout_s()
        self.give_up_at = time.monotonic() + timeout + POLL_S
        self._free.clear()
        try:
            reply = (await self._wire.words(("BZPOPMIN", self._keys.marker, f"{timeout:.3f}")))[0]
            self.give_up_at = 0.0
            if isinstance(reply, RedisError):
                raise RedisUnavailable(f"redis refused to block: {reply}") from reply
            return reply is not None and await self._use(reply)
        finally:
            self.give_up_at = 0.0
            self._free.set()

    async def _use(self, reply: list[Any]) -> bool:
        member, score = reply[1], float(reply[2])
        if not self._wanted():
            await self._wire.words(("ZADD", self._keys.marker, reply[2], member))
        elif score > _now_ms():
            # Not work yet but a moment; the earlier one counts, and the turn at that moment promotes the job.
            due = self._next_due_ms
            self._expect(score if due is None else min(due, score))
            return await self._wait_once()
        return True

    def _timeout_s(self) -> float:
        if self._next_due_ms is None:
            return POLL_S
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, (self._next_due_ms - _now_ms()) / 1000))


def _now_ms() -> float:
    return time.time() * 1000
