"""What every proxy before Redis does: accept connections, serve each in a thread, pass bytes on, end."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Self


class Proxy:
    """Serves each connection to `listener` in a thread of its own until the end. Use as a context manager.

    A proxy says in `connect` where a connection goes to, and in `serve`, where it does more than pass on, what happens
    between the two ends.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.over = False
        self._listener = listener
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def connect(self) -> Callable[[], socket.socket]:
        """Return what opens the other end of the connection that was accepted just now."""
        raise NotImplementedError

    def serve(self, client: socket.socket, server: socket.socket) -> None:
        """Pass everything on in both directions until one end closes."""
        while not self.over:
            for ready in select.select([client, server], [], [], 0.1)[0]:
                chunk = ready.recv(1 << 20)
                if not chunk:
                    return
                (server if ready is client else client).sendall(chunk)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(partial(self._serve_one, client, self.connect()))

    def _serve_one(self, client: socket.socket, connect: Callable[[], socket.socket]) -> None:
        with client, contextlib.suppress(OSError), connect() as server:
            self.serve(client, server)
