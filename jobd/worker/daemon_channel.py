"""The worker's end of its socket to the daemon, on the loop."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from jobd.errors import ProtocolError
from jobd.protocol import framing
from jobd.protocol.worker import Message, decode, encode

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable


class Channel:
    """Hands every message to `received`. End of file means that the daemon is gone: this process ends at once."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, received: Callable[[Message], None]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._received = received
        self._outbox: deque[Message] = deque()
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: Message) -> None:
        """Send a message, now or when the daemon has read what was sent before; the order stays."""
        self._outbox.append(message)
        if len(self._outbox) == 1:
            self._writable()

    def _readable(self) -> None:
        while True:
            try:
                packet = framing.receive(self._sock)
            except BlockingIOError:
                return
            except ProtocolError:
                os._exit(os.EX_PROTOCOL)
            if packet is None:
                os._exit(0)
            body, fds = packet
            framing.close_all(fds)
            try:
                message = decode(body)
            except ProtocolError:
                os._exit(os.EX_PROTOCOL)
            self._received(message)

    def _writable(self) -> None:
        while self._outbox:
            try:
                framing.send(self._sock, encode(self._outbox[0]))
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._writable)
                return
            except OSError:
                os._exit(0)  # As at end of file.
            self._outbox.popleft()
        self._loop.remove_writer(self._sock.fileno())
