"""A proxy before Redis that loses replies: it forwards a request, lets Redis carry it out, and drops the connection.

It can also wait until two script calls are under way and lose any part of their replies.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from pathlib import Path

from jobd.worker.fetch.resp import PythonReader
from tests.support.proxy import Proxy

SCRIPT_CALL = b"$7\r\nEVALSHA\r\n"

ALONE_S = 0.1
"""A call that gets no second beside it in this time is alone: its reply goes on."""


class CuttingProxy(Proxy):
    """Listens on a Unix socket of its own in front of a Redis'.

    `cut_next(wanted)` loses the reply to the next request whose bytes satisfy `wanted`; `cut_two(kept)` loses what
    `kept(a, b)` does not keep of the next two replies under way together, of a and b bytes. `cuts` counts both.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.path = folder / "proxy.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        super().__init__(listener)
        self.url = f"unix://{self.path}"
        self.cuts = 0
        self._target = target
        self._wanted: Callable[[bytes], bool] | None = None
        self._kept: Callable[[int, int], int] | None = None

    def cut_next(self, wanted: Callable[[bytes], bool]) -> None:
        """Lose the reply to the next request like this."""
        self._wanted = wanted

    def cut_two(self, kept: Callable[[int, int], int]) -> None:
        """Of the next two replies under way together let so many bytes through, then end the connection."""
        self._kept = kept

    def connect(self) -> Callable[[], socket.socket]:
        """Go to the Redis behind."""
        return self._open

    def serve(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on until a reply is to be lost."""
        cutting = False
        two = _Two()
        while not self.over:
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

    def _open(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self._target))
        except OSError:
            server.close()
            raise
        return server

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
