"""What goes out on one connection of the control socket: answers, progress, entries of a subscription."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Any

from jobd.errors import Refused
from jobd.protocol.control import encode_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.protocol.control import Id

_UNREAD_MAX = 1024 * 1024
"""Bytes of progress a client may leave unread; more lines are dropped, the answer still comes."""

WRITE_LIMIT_S = 30.0
"""A client that takes none of its answer for this long is cut off."""

FEED_LIMIT_S = 30.0
"""A subscription whose reader takes nothing for this long ends, and says so; then the other limit begins."""


class Answers:
    """The writing side of a connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.over = asyncio.Event()
        """Set when a subscription is to end, since the daemon does."""

    def progress(self, request_id: Id, text: str) -> None:
        """Tell what is going on; lost on a client that does not read."""
        transport = self._writer.transport
        if not transport.is_closing() and transport.get_write_buffer_size() < _UNREAD_MAX:
            self._writer.write(encode_progress(request_id, text))

    async def feed(self, request_id: Id, text: str, fed: Mapping[str, Any]) -> None:
        """Send an entry of a subscription; returns when the client has room for the next.

        Raises:
            Refused: it has taken nothing for FEED_LIMIT_S.
            ConnectionResetError: it is gone.
        """
        if self._writer.transport.is_closing():
            raise ConnectionResetError
        self._writer.write(encode_progress(request_id, text, fed))
        try:
            await self._drained(FEED_LIMIT_S)
        except TimeoutError:
            told = f"nothing was read for {FEED_LIMIT_S:.0f} s"
            raise Refused("reader-too-slow", f"the subscription ends: {told}") from None

    async def send(self, line: bytes) -> None:
        """Send an answer whole. Raises TimeoutError, the connection aborted, when the client does not take it."""
        if self._writer.transport.is_closing():
            raise ConnectionResetError
        self._writer.write(line)
        try:
            await self._drained(WRITE_LIMIT_S)
        except TimeoutError:
            self._writer.transport.abort()
            raise

    async def _drained(self, limit_s: float) -> None:
        # Only what the client takes counts as progress: an answer of many megabytes may last.
        while True:
            before = self._writer.transport.get_write_buffer_size()
            try:
                await asyncio.wait_for(self._writer.drain(), limit_s)
            except TimeoutError:
                if self._writer.transport.get_write_buffer_size() < before:
                    continue
                raise
            return

    def is_there(self) -> bool:
        """Return whether the client may still read. One that closed its sending side only is there."""
        sock = self._writer.get_extra_info("socket")
        if self._writer.transport.is_closing() or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        return not any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
