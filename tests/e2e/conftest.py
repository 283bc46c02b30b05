"""Fixtures of the end-to-end tests: real daemons, and the jobs of their queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.redis_server import RedisServer


@pytest.fixture
def make(short_tmp: Path, redis_server: RedisServer, prefix: str) -> Iterator[Callable[..., DaemonProcess]]:
    """Return what makes a daemon on the shared Redis and waits until it is ready (`ready=False`: does not start it)."""
    made: list[DaemonProcess] = []

    def build(queues: str, *, ready: bool = True, url: str = redis_server.url, **more: Any) -> DaemonProcess:
        daemon = DaemonProcess(short_tmp / f"d{len(made)}", url, queues, prefix=prefix, **more)
        made.append(daemon)
        return daemon.start_ready() if ready else daemon

    yield build
    for daemon in made:
        daemon.destroy()


@pytest.fixture
def jobs(redis_server: RedisServer, r: redis.Redis, prefix: str) -> Iterator[Callable[..., Jobs]]:
    """Return what opens a queue by its name, on the shared Redis or on the one given."""
    opened: list[Jobs] = []
    clients: list[redis.Redis] = []

    def look(name: str, server: RedisServer | None = None) -> Jobs:
        client = r
        if server is not None:
            client = server.client()
            clients.append(client)
        opened.append(Jobs(client, (server or redis_server).url, prefix, name))
        return opened[-1]

    yield look
    for one in opened:
        one.close()
    for client in clients:
        client.close()


class HeldSetup:
    """A `setup` that lasts until the test lets it go; one that is not held takes no time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.keys = f'setup = "daemon_handlers:held_setup"\nenv = {{ HOLD = "{file}" }}\n'
        """Of a queue."""

    def hold(self) -> None:
        """Workers that start from now on stay in their setup."""
        self._file.touch()

    def go(self) -> None:
        """They get ready."""
        self._file.unlink()


@pytest.fixture
def held_setup(short_tmp: Path) -> HeldSetup:
    return HeldSetup(short_tmp / "hold")
