"""A TCP proxy that sends new connections to the new primary and leaves the old ones be, as DNS or a virtual IP does."""

from __future__ import annotations

import contextlib
import select
import socket
import threading


class MovingProxy:
    """Listens on loopback at a port of its own; `target` is the port that connections opened from now on go to.

    Use as a context manager.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.opened: list[int] = []
        """The target of each connection so far, oldest first."""
        self._threads: list[threading.Thread] = []
        self._over = False

    def __enter__(self) -> MovingProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.opened.append(self.target)
            self._start(self._serve, client, self.target)

    def _serve(self, client: socket.socket, target: int) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", target)) as server:
            while not self._over:
                for ready in select.select([client, server], [], [], 0.1)[0]:
                    chunk = ready.recv(1 << 20)
                    if not chunk:
                        return
                    (server if ready is client else client).sendall(chunk)
