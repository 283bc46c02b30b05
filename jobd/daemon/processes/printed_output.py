"""What a worker or template prints: forwarded line by line, its end kept for the report on a death.

The pipe is always drained, else a handler that prints would block. Above 10 MB/s lines are read and dropped, counted.
The end of a process is its pidfd, never end of file here: its children may keep the pipe open.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_BYTES = 64 * 1024
"""How much of the end is kept for a death report."""

RATE_LIMIT = 10_000_000
"""Bytes a second that are forwarded; more would only fill the disk and slow the daemon, which renews locks."""

_LINE_MAX = 16 * 1024
"""A longer line is cut into pieces: a handler may print without ever ending a line."""

_READ = 64 * 1024
_READS_A_TURN = 16
"""A megabyte, then the loop goes on with other things."""


class Output:
    """The reading end of one pipe; owns it. `forward` gets each line as text, without its end."""

    def __init__(self, fd: int, forward: Callable[[str], None], dropped: Callable[[int], None]) -> None:
        self._fd = fd
        self._forward = forward
        self._told_dropped = dropped
        self._kept = bytearray()
        self._partial = bytearray()
        self._window_at = time.monotonic()
        self._window_bytes = 0
        self._dropped = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._readable)

    def close(self) -> None:
        """Read what is still there, forward it, close. Harmless when closed before."""
        if self._closed:
            return
        self._readable()
        self._end()

    def last_lines(self, count: int = 20) -> list[str]:
        """Return the last lines, the newest last."""
        return self._kept.decode("utf-8", "replace").splitlines()[-count:]

    def _readable(self) -> None:
        for _ in range(_READS_A_TURN):
            try:
                chunk = os.read(self._fd, _READ)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self._end()
                return
            self._take(chunk)

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._partial:
            self._forward_line(bytes(self._partial))
            self._partial.clear()
        self._tell_dropped()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _take(self, chunk: bytes) -> None:
        self._kept += chunk
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]
        self._partial += chunk
        *lines, rest = self._partial.split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._forward_line(bytes(line))
        while len(self._partial) > _LINE_MAX:
            self._forward_line(bytes(self._partial[:_LINE_MAX]))
            del self._partial[:_LINE_MAX]

    def _forward_line(self, line: bytes) -> None:
        now = time.monotonic()
        if now - self._window_at >= 1.0:
            self._tell_dropped()
            self._window_at, self._window_bytes = now, 0
        self._window_bytes += len(line) + 1
        if self._window_bytes > RATE_LIMIT:
            self._dropped += 1
            return
        for start in range(0, max(1, len(line)), _LINE_MAX):
            self._forward(line[start : start + _LINE_MAX].decode("utf-8", "replace").rstrip("\r"))

    def _tell_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._told_dropped(dropped)
