"""The service manager's side of sd_notify: a datagram socket that keeps what it was told."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from tests.support.waiting import wait_until


class NotifySocket:
    """Listens at a path, or at an abstract name without one; `env` is what systemd would set."""

    def __init__(self, path: Path | None = None) -> None:
        name = str(path) if path else f"@jobd-test-{secrets.token_hex(8)}"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind("\0" + name[1:] if name.startswith("@") else name)
        self.env = {"NOTIFY_SOCKET": name}
        self.messages: list[dict[str, str]] = []

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def read(self) -> list[dict[str, str]]:
        """Return all messages so far, oldest first: {variable: value}."""
        while True:
            try:
                text = self.sock.recv(65536).decode()
            except BlockingIOError:
                return self.messages
            self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))

    def wait_for(self, variable: str, value: str = "1", deadline: float = 10.0) -> dict[str, str]:
        """Return the first message that sets `variable` to `value`."""
        return wait_until(
            lambda: next((m for m in self.read() if m.get(variable) == value), None), deadline,
            what=f"{variable}={value}",
        )  # fmt: skip
