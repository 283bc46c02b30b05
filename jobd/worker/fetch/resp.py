"""The protocol of an open connection: requests out, replies in, straight off the transport.

hiredis reads where it is installed: a third of what redis-py's stream costs a round trip. Without it a reader in Python
does the same, slower.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import InvalidResponse

from jobd.engine.trouble import is_demoted

if TYPE_CHECKING:
    from collections.abc import Sequence

_error_of = cast("Callable[[str], Exception]", BaseParser.parse_error)

Direct = Callable[[list[Any]], bool]
"""Takes replies where they come in, a turn of the event loop or two before who awaits them; False: it did not."""

pack: Callable[[Sequence[Any]], bytes]
try:
    from hiredis import Reader, pack_command

    pack = pack_command  # type: ignore[assignment]  # it takes any sequence
except ImportError:
    from redis._parsers import Encoder
    from redis.connection import PythonRespSerializer

    Reader = None  # type: ignore[assignment,misc]
    _serializer = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode)  # type: ignore[no-untyped-call]

    def _pack_in_python(words: Sequence[Any]) -> bytes:
        return b"".join(_serializer.pack(*words))  # type: ignore[no-untyped-call]

    pack = _pack_in_python


class Replies(asyncio.Protocol):
    """Gives each request its replies, in order; any number of requests may be under way.

    `closed` is called when the connection ends while nothing was under way: nothing is lost then.
    """

    def __init__(self, transport: asyncio.Transport, closed: Callable[[], None]) -> None:
        """Take the transport over from whoever opened it; nothing may be waiting to be read."""
        self._reader = _reader()
        self._loop = asyncio.get_running_loop()  # asking for it each time is a system call
        self._transport = transport
        self._waiting: deque[tuple[asyncio.Future[list[Any]], int, Direct | None]] = deque()
        self._got: list[Any] = []
        self._closed = closed
        self.lost = False
        """Whether the connection is gone; nobody need have been waiting on it."""
        transport.set_protocol(self)

    @property
    def oldest(self) -> asyncio.Future[list[Any]] | None:
        """The request that has waited longest for its replies; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def ask(self, request: bytes, replies: int, direct: Direct | None = None) -> asyncio.Future[list[Any]]:
        """Send a request; the future gets that many replies (an error reply is one of them) or ConnectionError.

        `direct` is offered the replies first; of those that it takes the future never hears.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self.lost:
            _fail(future, Broken("connection closed"))
            return future
        self._waiting.append((future, replies, direct))
        self._transport.write(request)
        return future

    def close(self) -> None:
        """Close at once; whoever still waits gets ConnectionError."""
        self._transport.abort()
        self._end(Broken("connection closed"))

    def data_received(self, data: bytes) -> None:
        """Hand over the replies of each request once all are there."""
        reader, got = self._reader, self._got
        try:
            reader.feed(data)
            # False is hiredis' "not yet"; RESP2 has no reply of that value.
            while (reply := reader.gets()) is not False:
                got.append(reply)
        except InvalidResponse as error:
            self._transport.abort()
            self._end(error)
            return
        waiting = self._waiting
        while waiting and len(got) >= waiting[0][1]:
            future, wanted, direct = waiting.popleft()
            mine, got = (got, []) if len(got) == wanted else (got[:wanted], got[wanted:])
            self._got = got
            if not future.done() and not (direct is not None and direct(mine)):
                future.set_result(mine)
        self._got = got

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, or that nothing was under way."""
        idle = not self.lost and not self._waiting
        # A server that becomes a replica says so to those who block, then closes, and the rest goes unanswered.
        said = next((reply for reply in self._got if is_demoted(reply)), None)
        self._end(said or Broken(str(exc) if exc else "connection closed by the server"))
        if idle:
            self._closed()

    def _end(self, error: Exception) -> None:
        self.lost = True
        while self._waiting:
            _fail(self._waiting.popleft()[0], error)


def _fail(future: asyncio.Future[list[Any]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # Of several requests under way only the first may be awaited again: asyncio need not complain of the others.
        future.exception()


def _reader() -> Any:
    return PythonReader() if Reader is None else Reader(protocolError=InvalidResponse, replyError=_error_of)


class PythonReader:
    """What hiredis.Reader does, as far as it is used here: `feed` bytes, `gets` a reply or False for "not yet"."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        self._enough = 0
        """Bytes without which the next reply cannot be whole: a large value is not looked through again and again."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection."""
        self._data += data

    def gets(self) -> Any:
        """Return the next reply, False when it is not all there. Raises InvalidResponse."""
        if len(self._data) < self._enough:
            return False
        self._at, self._enough = 0, 0
        try:
            reply = self._next()
        except _NotYet:
            return False
        del self._data[: self._at]
        return reply

    def _next(self) -> Any:
        end = self._data.find(b"\r\n", self._at)
        if end < 0:
            raise _NotYet
        kind, line = self._data[self._at : self._at + 1], bytes(self._data[self._at + 1 : end])
        self._at = end + 2
        if kind == b"$":
            return self._bulk(int(line))
        if kind == b"*":
            return None if line == b"-1" else [self._next() for _ in range(int(line))]
        if kind == b":":
            return int(line)
        if kind == b"+":
            return line
        if kind == b"-":
            return _error_of(line.decode("utf-8", "replace"))
        raise InvalidResponse(f"not a reply of Redis: {bytes(kind)!r}")

    def _bulk(self, length: int) -> bytes | None:
        if length < 0:
            return None
        end = self._at + length
        if len(self._data) < end + 2:
            self._enough = end + 2
            raise _NotYet
        value = bytes(self._data[self._at : end])
        self._at = end + 2
        return value


class _NotYet(Exception):
    """The bytes of a reply end before it does."""
