"""The faults of the chaos test, in a seeded order: each kills, stops or edits something and notes when."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

from tests.chaos.ledger import Fault, Ledger
from tests.support.daemon_process import DaemonProcess, Failed, alive
from tests.support.redis_server import RedisServer
from tests.support.stepped_clock import SteppedClock
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


_KINDS = (
    "kill_worker", "kill_template", "kill_daemon", "kill_redis", "stop_redis", "reload", "kill_clients",
    "flush_scripts", "restart_daemon", "suspend_worker", "suspend_template", "suspend_daemon", "demote_redis",
    "fill_redis", "order_restart", "order_kill", "scale", "autoscale", "quiet_host", "quiet_queue", "pause",
    "step_clock", "step_redis_clock",
)  # fmt: skip


def queue_table(workers: int | str = 2, concurrency: int = 40, attempts: int = 1, lock_s: int = 5) -> str:
    """Return the queue's table with these numbers."""
    return QUEUE.format(workers=workers, concurrency=concurrency, attempts=attempts, lock_s=lock_s)


KINDS = tuple(kind for kind in _KINDS if kind in os.environ.get("CHAOS_FAULTS", ",".join(_KINDS)).split(","))
"""All kinds, or those that CHAOS_FAULTS names: to look closer at two that meet."""


class Faults:
    """Lets faults fall on a daemon and its Redis, and writes them into the ledger."""

    def __init__(
        self, daemon: DaemonProcess, server: RedisServer, ledger: Ledger, seed: int, *, clock: SteppedClock,
        redis_clock: SteppedClock,
    ) -> None:  # fmt: skip
        self._daemon = daemon
        self._server = server
        self._ledger = ledger
        self._clock = clock
        self._redis_clock = redis_clock
        self._random = random.Random(seed)
        self._deck: list[str] = []

    def fall(self) -> str:
        """Let the next fault fall; every kind comes once before any comes again. Returns its name."""
        if not self._deck:
            self._deck = list(KINDS)
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
        # Now and then for longer than a lock lives.
        time.sleep(self._random.choice((0.0, 0.5, 1.5, 6.0)))
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

    def _kill_clients(self) -> bool:
        with self._server.client() as r:
            for _ in range(self._random.randint(1, 10)):
                r.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                time.sleep(self._random.uniform(0, 0.1))
        return False

    def _flush_scripts(self) -> bool:
        with self._server.client() as r:
            r.script_flush()
        return False

    def _restart_daemon(self) -> bool:
        """A deploy without patience: what runs is handed back."""
        self._daemon.signal(signal.SIGQUIT)
        assert self._daemon.wait() == 0
        self._daemon.start_ready()
        return True

    def _suspend_worker(self) -> bool:
        self._suspend(self._random.choice(wait_until(lambda: processes(self._daemon, "jobd-worker"), 20)))
        return False  # the daemon keeps its locks

    def _suspend_template(self) -> bool:
        self._suspend(self._random.choice(wait_until(lambda: processes(self._daemon, "jobd-template"), 20)))
        return False

    def _suspend_daemon(self) -> bool:
        self._suspend(self._daemon.pid)
        return False  # for less than a lock's life

    def _suspend(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self._random.uniform(0.2, 1.5))
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return  # it was about to go

    def _demote_redis(self) -> bool:
        with self._server.client() as r:
            r.replicaof("127.0.0.1", "1")
            time.sleep(self._random.uniform(0.1, 1.5))
            r.replicaof("NO", "ONE")
        return False

    def _fill_redis(self) -> bool:
        with self._server.client() as r:
            r.config_set("maxmemory", 1)
            time.sleep(self._random.uniform(0.1, 1.5))
            r.config_set("maxmemory", 0)
        return False

    def _order_restart(self) -> bool:
        self._order("worker.restart")
        return False

    def _order_kill(self) -> bool:
        self._order("worker.kill")
        return True

    def _order(self, method: str) -> None:
        ready = wait_until(lambda: self._daemon.worker_pids("chaos"), 20, what="a worker that is ready")
        with contextlib.suppress(Failed):  # it was replaced meanwhile, or its queue starts anew
            self._daemon.call(method, pid=self._random.choice(ready))

    def _scale(self) -> bool:
        self._daemon.call("queue.scale", queue="chaos", to=str(self._random.randint(1, 4)))
        return False

    def _autoscale(self) -> bool:
        """Between one worker and four by what waits; the next reload takes it back."""
        self._daemon.reload(queue_table('{ min = 1, max = 4, target_wait = "200ms" }', 3))
        time.sleep(self._random.uniform(0.5, 2.5))
        return False

    def _quiet_host(self) -> bool:
        return self._for_a_while("quiet", "unquiet")

    def _quiet_queue(self) -> bool:
        return self._for_a_while("queue.quiet", "queue.unquiet", queue="chaos")

    def _pause(self) -> bool:
        return self._for_a_while("queue.pause", "queue.resume", queue="chaos")

    def _step_clock(self) -> bool:
        """The host's clock is set wrong, and right again: by no more than delayed jobs may be late, or far back."""
        self._clock.set(self._random.choice((-3600, 3)))
        time.sleep(self._random.uniform(0.1, 1.5))
        self._clock.set(0)
        return False

    def _step_redis_clock(self) -> bool:
        """It stays wrong until the next time."""
        self._redis_clock.set(self._random.choice((-3600, -150, 0, 150, 3600)))
        return False

    def _for_a_while(self, begin: str, end: str, **params: str) -> bool:
        """Nothing is taken meanwhile; what runs goes on."""
        self._daemon.call(begin, **params)
        time.sleep(self._random.uniform(0.1, 1.5))
        self._daemon.call(end, **params)
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
