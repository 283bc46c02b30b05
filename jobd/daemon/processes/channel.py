"""One end of a socketpair on the daemon's loop: messages in by callback, messages out without ever waiting."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from jobd.errors import ProtocolError
from jobd.protocol import framing
from jobd.protocol.worker import decode, encode

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from jobd.protocol.worker import Message

_BATCH = 32
"""Messages read before the loop turns again, so that one chatty peer does not starve the others."""


class Channel:
    """Owns the socket. `on_end` is called once: end of file, or bytes that are no message."""

    def __init__(
        self, sock: socket.socket, on_message: Callable[[Message, list[int]], None], on_end: Callable[[str], None]
    ) -> None:
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._waiting: deque[tuple[dict[str, Any], tuple[int, ...]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send, or keep until the other end has room; lost without a word when it is gone (its end is told apart).

        The descriptors stay the caller's.
        """
        if self._closed:
            return
        self._waiting.append((encode(message), tuple(os.dup(fd) for fd in fds)))
        if len(self._waiting) == 1:
            self._flush()

    def read_rest(self) -> None:
        """Hand on what has come and was not read yet; the other end is gone."""
        while not self._closed and self._read_one():
            pass

    def close(self) -> None:
        """Close the socket; the other end reads end of file. Harmless when closed before."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        for _, fds in self._waiting:
            framing.close_all(list(fds))
        self._waiting.clear()
        self._sock.close()

    def _flush(self) -> None:
        while self._waiting:
            body, fds = self._waiting[0]
            try:
                framing.send(self._sock, body, fds)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:
                pass  # the other end is gone: its pidfd and our end of file say so
            self._waiting.popleft()
            framing.close_all(list(fds))
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        for _ in range(_BATCH):
            if self._closed or not self._read_one():
                return

    def _read_one(self) -> bool:
        """Hand on one message; False when there is none, or none any more."""
        try:
            received = framing.receive(self._sock)
            if received is None:
                self._end("end of file")
                return False
            body, fds = received
            try:
                message = decode(body)
            except ProtocolError:
                framing.close_all(fds)
                raise
        except BlockingIOError:
            return False
        except (ProtocolError, OSError) as error:
            self._end(str(error))
            return False
        self._on_message(message, fds)
        return True

    def _end(self, why: str) -> None:
        self.close()
        self._on_end(why)
