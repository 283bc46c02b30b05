"""The faults of the chaos test, in a seeded order: each kills, stops or edits something and notes when."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from tests.chaos.ledger import Fault, Ledger
from tests.support.daemon_process import DaemonProcess, alive
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUE = """
[queues.chaos]
workers = {workers}
concurrency = {concurrency}
attempts = {attempts}
lock_duration = "{lock_s}s"
stalled_interval = "2s"
max_crashes = 100000
breaker = false
backoff = {{ type = "fixed", delay = "50ms" }}
[queues.chaos.jobs]
quick = "chaos_handlers:quick"
slow = "chaos_handlers:slow"
waiting = "chaos_handlers:waiting"
flaky = "chaos_handlers:flaky"
"""


_CONCURRENCY = (1, 3, 8, 40, 100)
"""Few slots, and so many that two turns are under way at once."""


def queue_table(workers: int = 2, concurrency: int = 40, attempts: int = 1, lock_s: int = 5) -> str:
    """Return the queue's table with these numbers."""
    return QUEUE.format(workers=workers, concurrency=concurrency, attempts=attempts, lock_s=lock_s)


class Faults:
    """Lets faults fall on a daemon and its Redis, and writes them into the ledger."""

    def __init__(self, daemon: DaemonProcess, server: RedisServer, ledger: Ledger, seed: int) -> None:
        self._daemon = daemon
        self._server = server
        self._ledger = ledger
        self._random = random.Random(seed)
        self._deck: list[str] = []

    def fall(self) -> str:
        """Let the next fault fall; every kind comes once before any comes again. Returns its name."""
        if not self._deck:
            self._deck = ["kill_worker", "kill_template", "kill_daemon", "kill_redis", "stop_redis", "reload"]
            self._random.shuffle(self._deck)
        kind = self._deck.pop()
        began = time.monotonic_ns()
        excuses = getattr(self, f"_{kind}")()
        self._ledger.faults.append(Fault(kind, began, time.monotonic_ns(), excuses))
        return kind

    def _kill_worker(self) -> bool:
        self._kill_one("jobd-worker")
        return True

    def _kill_template(self) -> bool:
        self._kill_one("jobd-template")
        return True

    def _kill_daemon(self) -> bool:
        self._daemon.kill()
        self._daemon.start_ready()
        return True

    def _kill_redis(self) -> bool:
        self._server.kill()
        time.sleep(self._random.uniform(0, 1.5))
        self._server.start()
        return False

    def _stop_redis(self) -> bool:
        self._server.signal(signal.SIGSTOP)
        time.sleep(self._random.uniform(0.2, 2.5))
        self._server.signal(signal.SIGCONT)
        return False

    def _reload(self) -> bool:
        table = queue_table(self._random.randint(1, 3), self._random.choice(_CONCURRENCY), self._random.randint(1, 3))
        self._daemon.reload(table, code=self._random.random() < 0.3)
        return False

    def _kill_one(self, kind: str) -> None:
        victims = wait_until(lambda: processes(self._daemon, kind), 20, what=f"a {kind} to kill")
        victim = self._random.choice(victims)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not alive(victim), 10, what="the victim is gone")


def processes(daemon: DaemonProcess, kind: str) -> list[int]:
    """Return the pids below the daemon that are workers or templates."""
    below = {pid: _parent(pid) for pid in daemon.children()}
    templates = [pid for pid in below if b"jobd.worker.template" in _command(pid) and below[pid] == daemon.pid]
    if kind == "jobd-template":
        return templates
    return [pid for pid, parent in below.items() if parent in templates]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
