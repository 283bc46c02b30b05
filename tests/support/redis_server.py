"""A real redis-server of the tests' own: on a Unix socket (and, when asked, loopback) in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import redis

from tests.support.programs import find_program
from tests.support.waiting import wait_until


def find_server() -> str:
    """Return the path of redis-server or valkey-server."""
    return shutil.which("redis-server") or shutil.which("valkey-server") or find_program("redis-server", "redis-server")


def free_port() -> int:
    """Return a loopback port that nobody listened on a moment ago.

    Not one that the kernel gives to outgoing connections (32768 and up, ip_local_port_range): those of other tests
    would take it while a server is restarted.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """One server process. `url` is its Unix socket; with `tcp`, `tcp_url` and `port` too (Node needs them)."""

    def __init__(
        self, folder: Path, *, binary: str | None = None, tcp: bool = False, durable: bool = False,
        own_session: bool = False, env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._own_session = own_session
        self._env = None if env is None else {**os.environ, **env}
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}"
        self.port = free_port() if tcp else 0
        self.tcp_url = f"redis://127.0.0.1:{self.port}"
        self.binary = binary or find_server()
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        """Start it and wait until it answers; data of an earlier run of a durable server is there again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        durability = ["--appendonly", "yes", "--appendfsync", "always"] if self.durable else ["--appendonly", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket),
                 "--dir", str(self.folder), "--save", "", *durability, *self.more_arguments()],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=self._own_session,
                env=self._env,
            )  # fmt: skip
        wait_until(self.answers, 20, what="redis-server answers")
        return self

    def more_arguments(self) -> tuple[str, ...]:
        """Return what a server of another kind is started with besides."""
        return ()

    def answers(self) -> bool:
        """Whether it answers PING and has loaded its data."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"redis-server ended: {(self.folder / 'redis.log').read_text()[-2000:]}")
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """A client of its own that returns text; close it."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def raw(self) -> redis.Redis:
        """A client of its own that returns bytes; close it."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def signal(self, number: int) -> None:
        """Send it a signal (SIGSTOP, SIGCONT)."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it and wait; harmless when it is not running."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
