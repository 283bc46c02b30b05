"""A TCP proxy that sends new connections to the new primary and leaves the old ones be, as DNS or a virtual IP does."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from tests.support.proxy import Proxy


class MovingProxy(Proxy):
    """Listens on loopback at a port of its own; `target` is the port that connections opened from now on go to."""

    def __init__(self, target: int) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        super().__init__(listener)
        self.target = target
        self.port = int(listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.opened: list[int] = []
        """The target of each connection so far, oldest first."""

    def connect(self) -> Callable[[], socket.socket]:
        """Go to the target of this moment, whatever it is when the thread comes to it."""
        self.opened.append(self.target)
        return partial(socket.create_connection, ("127.0.0.1", self.target))
