"""A proxy before Redis that loses replies: it forwards a request, lets Redis carry it out, and drops the connection.

It can also wait until two script calls are under way and lose any part of their replies.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from jobd.worker.fetch.resp import PythonReader

SCRIPT_CALL = b"$7\r\nEVALSHA\r\n"

ALONE_S = 0.1
"""A call that gets no second beside it in this time is alone: its reply goes on."""


class CuttingProxy:
    """Listens on a Unix socket of its own in front of a Redis'. Use as a context manager.

    `cut_next(wanted)` loses the reply to the next request whose bytes satisfy `wanted`; `cut_two(kept)` loses what
    `kept(a, b)` does not keep of the next two replies under way together, of a and b bytes. `cuts` counts both.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.path = folder / "proxy.sock"
        self.url = f"unix://{self.path}"
        self.cuts = 0
        self._target = target
        self._wanted: Callable[[bytes], bool] | None = None
        self._kept: Callable[[int, int], int] | None = None
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

    def cut_two(self, kept: Callable[[int, int], int]) -> None:
        """Of the next two replies under way together let so many bytes through, then end the connection."""
        self._kept = kept

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
            two = _Two()
            while not self._over:
                if self._kept is not None or two.held:
                    if self._hold_two(two, client, server):
                        return
                    continue
                for ready in select.select([client, server], [], [], 0.1)[0]:
                    chunk = ready.recv(1 << 20)
                    if not chunk or (ready is server and cutting):
                        self.cuts += cutting
                        return
                    if ready is client and self._wanted is not None and self._wanted(chunk):
                        self._wanted, cutting = None, True
                    (server if ready is client else client).sendall(chunk)

    def _hold_two(self, two: _Two, client: socket.socket, server: socket.socket) -> bool:
        """Pass requests on and hold replies for a moment; whether the connection is to end."""
        ready = select.select([client, server], [], [], ALONE_S)[0]
        if client in ready:
            chunk = client.recv(1 << 20)
            if not chunk:
                return True
            two.calls += chunk.count(SCRIPT_CALL)
            server.sendall(chunk)
        if server in ready:
            chunk = server.recv(1 << 20)
            if not chunk:
                return True
            if not two.calls:
                client.sendall(chunk)
                return False
            two.held += chunk
        kept = self._kept
        sizes = two.sizes()
        if kept is not None and two.calls == len(sizes) == 2:
            self._kept = None
            client.sendall(two.held[: kept(*sizes)])
            self.cuts += 1
            return True
        if not ready or kept is None or two.calls > 2:
            client.sendall(two.held)
            two.held, two.calls = b"", 0
        return False


class _Two:
    """Script calls under way on one connection, and the bytes of their replies that are held."""

    def __init__(self) -> None:
        self.calls = 0
        self.held = b""

    def sizes(self) -> list[int]:
        """Return the sizes of the replies that are all there."""
        reader = PythonReader()
        reader.feed(self.held)
        found, left = [], len(self.held)
        while reader.gets() is not False:
            found.append(left - len(reader._data))
            left = len(reader._data)
        return found
