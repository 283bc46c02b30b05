"""Read replies straight off a transport with hiredis: a third of what redis-py's stream costs a round trip."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import InvalidResponse

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from hiredis import Reader
except ImportError:
    Reader = None  # type: ignore[assignment,misc]

AVAILABLE = Reader is not None
"""Whether hiredis is there; without it redis-py's own reading does."""


class Replies(asyncio.Protocol):
    """The protocol of an open connection, one request at a time; `ask` sends bytes and returns the replies."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Take the transport over from whoever opened it; nothing may be waiting to be read."""
        read_error = cast("Callable[[str], Exception]", BaseParser.parse_error)
        self._reader = Reader(protocolError=InvalidResponse, replyError=read_error)
        self._transport = transport
        self._waiting: asyncio.Future[list[Any]] | None = None
        self._wanted = 0
        self._got: list[Any] = []
        self.lost = False
        """Whether the connection is gone; nobody need have been waiting on it."""
        transport.set_protocol(self)

    def ask(self, request: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """Send a request; the future gets that many replies (an error reply is one of them) or ConnectionError."""
        waiting: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if self.lost:
            waiting.set_exception(Broken("connection closed"))
            return waiting
        self._waiting, self._wanted = waiting, replies
        self._transport.write(request)
        return waiting

    def close(self) -> None:
        """Close at once; a future still waiting gets ConnectionError."""
        self._transport.abort()
        self._fail(Broken("connection closed"))

    def data_received(self, data: bytes) -> None:
        """Hand over the replies once all are there."""
        reader, got = self._reader, self._got
        try:
            reader.feed(data)
            # False is hiredis' "not yet"; RESP2 has no reply of that value.
            while (reply := reader.gets()) is not False:
                got.append(reply)
        except InvalidResponse as error:
            self._transport.abort()
            self._fail(error)
            return
        waiting = self._waiting
        if waiting is not None and len(got) >= self._wanted:
            self._got, self._waiting = [], None
            if not waiting.done():
                waiting.set_result(got)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._fail(Broken(str(exc) if exc else "connection closed by the server"))

    def _fail(self, error: Exception) -> None:
        self.lost = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
