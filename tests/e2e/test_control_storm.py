"""Everything a mad client can do at the control socket, all at once, while jobs run that must keep their locks."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.daemon_process import DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

_QUEUE = '[queues.a]\nhandler = "daemon_handlers:slow"\nconcurrency = 4\nlock_duration = "2s"\n'
_STATUS = b'{"jsonrpc": "2.0", "id": 1, "method": "status"}\n'
_LOGS = b'{"jsonrpc": "2.0", "id": 1, "method": "logs"}\n'
_JOB_S = 6
"""Three lives of a lock, so that one renewal that came late would show."""


def _garbage(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 4000)) + rng.choice([b"\n", b""])


def _half_a_line(rng: random.Random) -> bytes:
    return _STATUS[: rng.randrange(1, len(_STATUS) - 1)]


def _huge_line(rng: random.Random) -> bytes:
    return b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * rng.randint(1_000_000, 3_000_000) + b'"}\n' + _STATUS


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice([100, 900, 100_000])
    return b'{"jsonrpc": "2.0", "id": 1, "method": "plan", "params": {"x": ' + b"[" * depth + b"]" * depth + b"}}\n"


def _many(rng: random.Random) -> bytes:
    return _STATUS * rng.randint(1, 30)


@pytest.mark.timeout(120)
def test_a_storm_at_the_socket_costs_no_lock_no_worker_and_no_memory(
    short_tmp: Path, redis_server: RedisServer, r: redis.Redis, prefix: str
) -> None:
    with DaemonProcess(short_tmp / "d", redis_server.url, _QUEUE, prefix=prefix) as daemon:
        daemon.start_ready()
        workers, before = daemon.worker_pids("a"), _size(daemon)
        jobs = [daemon.call("job.add", queue="a", name="n", data={"s": _JOB_S})["job"]["id"] for _ in range(4)]
        storm = _Storm(daemon.socket)
        storm.begin([
            *(lambda rng, make=make: storm.send_and_leave(make(rng)) for make in (_garbage, _half_a_line, _deep)),
            lambda rng: storm.send_and_leave(_huge_line(rng)),
            lambda rng: storm.send_and_leave(_many(rng)),
            lambda _rng: storm.flood(50),
            lambda _rng: storm.read_nothing(_LOGS * 50),
        ])  # fmt: skip
        try:
            for job in jobs:
                wait_until(
                    lambda job=job: r.hget(f"{prefix}:a:{job}", "finishedOn"), 60, what=f"job {job} is done", every=0.1
                )
        finally:
            storm.end()
        for job in jobs:
            record = r.hgetall(f"{prefix}:a:{job}")
            assert (record["atm"], record["ats"], record.get("stc")) == ("1", "1", None), "it ran once"
        assert storm.sent > 500, "there was a storm"
        assert daemon.worker_pids("a") == workers
        assert daemon.status()["state"] == "ready"
        # Connections to Redis that statuses at the same moment needed are kept for the next ones.
        wait_until(lambda: _size(daemon)[0] <= before[0] + 30, 40, what="its descriptors are free again", every=0.1)
        assert _size(daemon)[1] < before[1] + 100 * 1024 * 1024
        assert not daemon.logged("control request failed"), daemon.log_tail()
        assert len(daemon.log.read_text().splitlines()) < 500, "nobody fills the log from outside"


class _Storm:
    """Threads that do one thing each, again and again; a connection that is refused is no error of theirs."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._unread: list[socket.socket] = []
        self.sent = 0

    def begin(self, deeds: list[Callable[[random.Random], None]]) -> None:
        for seed, deed in enumerate(deeds):
            thread = threading.Thread(target=self._repeat, args=(deed, random.Random(seed)))
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for sock in self._unread:
            sock.close()

    def _repeat(self, deed: Callable[[random.Random], None], rng: random.Random) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                deed(rng)
            self.sent += 1
            self._over.wait(0.005)

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(2)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()  # its queue of connections is full
            raise
        return sock

    def send_and_leave(self, content: bytes) -> None:
        """Send it, and go away without reading, as half of all clients that misbehave do."""
        with self._connected() as sock:
            sock.sendall(content)

    def flood(self, number: int) -> None:
        """Connect so many times and say nothing."""
        with contextlib.ExitStack() as stack:
            for _ in range(number):
                stack.enter_context(self._connected())

    def read_nothing(self, content: bytes) -> None:
        """Ask for much and read none of it; forty such connections stay open."""
        if len(self._unread) < 40:
            self._unread.append(self._connected())
            self._unread[-1].sendall(content)


def _size(daemon: DaemonProcess) -> tuple[int, int]:
    """Return how many files the daemon has open and how many bytes it holds."""
    files = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
    fields = Path(f"/proc/{daemon.pid}/statm").read_text().split()
    return files, (int(fields[1]) - int(fields[2])) * 4096
