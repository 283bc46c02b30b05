"""Lines of a stream, whatever a client sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.protocol.control import LINE_MAX, BadRequest, RpcCode

if TYPE_CHECKING:
    import asyncio

PIECE = 64 * 1024
"""Bytes read at once."""


class Lines:
    """The lines of a stream, at most LINE_MAX bytes each; a longer one is passed over in constant memory."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._skipping = False

    async def next(self) -> bytes | None:
        """Return the next line that is not blank, also one that end of file cuts short; None at the end.

        Raises:
            BadRequest: a line is too long; said as soon as that is known, its rest is skipped.
        """
        searched = 0
        while True:
            at = self._buffer.find(b"\n", searched)
            if at >= 0:
                line = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                searched = 0
                was_skipping, self._skipping = self._skipping, False
                if not was_skipping and line.strip():
                    return self._checked(line)
                continue
            if self._skipping:
                self._buffer.clear()
            elif len(self._buffer) > LINE_MAX:
                self._buffer.clear()
                self._skipping = True
                raise _too_long()
            searched = len(self._buffer)
            piece = await self._reader.read(PIECE)
            if not piece:
                return self._rest()
            self._buffer += piece

    def _rest(self) -> bytes | None:
        line, skipping = bytes(self._buffer), self._skipping
        self._buffer.clear()
        return line if line.strip() and not skipping else None

    def _checked(self, line: bytes) -> bytes:
        if len(line) > LINE_MAX:
            raise _too_long()
        return line


def _too_long() -> BadRequest:
    return BadRequest(RpcCode.REQUEST, "line-too-long", f"a request has at most {LINE_MAX} bytes")
