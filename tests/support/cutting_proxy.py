"""A proxy before Redis that loses replies: it forwards a request, lets Redis carry it out, and drops the connection."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path


class CuttingProxy:
    """Listens on a Unix socket of its own in front of a Redis'. Use as a context manager.

    `cut_next(wanted)` loses the reply to the next request whose bytes satisfy `wanted`; `cuts` counts them.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.path = folder / "proxy.sock"
        self.url = f"unix://{self.path}"
        self.cuts = 0
        self._target = target
        self._wanted: Callable[[bytes], bool] | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._over = False

    def __enter__(self) -> CuttingProxy:
        thread = threading.Thread(target=self._accept)
        self._threads.append(thread)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def cut_next(self, wanted: Callable[[bytes], bool]) -> None:
        """Lose the reply to the next request like this."""
        self._wanted = wanted

    def _accept(self) -> None:
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, contextlib.suppress(OSError):
            server.connect(str(self._target))
            cutting = False
            while not self._over:
                for ready in select.select([client, server], [], [], 0.1)[0]:
                    chunk = ready.recv(1 << 20)
                    if not chunk or (ready is server and cutting):
                        self.cuts += cutting
                        return
                    if ready is client and self._wanted is not None and self._wanted(chunk):
                        self._wanted, cutting = None, True
                    (server if ready is client else client).sendall(chunk)
