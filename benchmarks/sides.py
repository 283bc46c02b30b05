"""The two sides of every comparison, jobd and BullMQ's Node worker, and what they share: one Redis, one producer.

Each program has a session of its own, as services have. Linux shares the CPU by sessions (autogroup, sched(7)): with
Redis in one session with the Node worker, that ran 11,000 jobs a second in one slot on a busy machine, and 2,000 in two
sessions, where jobd's workers always are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from jobd.client import Queue
from jobd.errors import DaemonAway
from jobd.protocol.control_client import ControlClient
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[1]
_NODE = Path(__file__).with_name("node")
_BULK = 10_000
_TICKS = os.sysconf("SC_CLK_TCK")

Table = Mapping[str, Any]
"""The keys of one table in jobd.toml."""


class Side(Protocol):
    """Running workers of one queue, whoever's."""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""


class Bench:
    """What all measurements share; a context manager. `scale` multiplies every count of jobs."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.repeats = 0
        """Rounds that were repeated so far."""
        self.disturbed = 0
        """Rounds in which others used the machine and which count all the same."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # A short path: a Unix socket's is at most 107 bytes.
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="jobd-bench-")))
        self.server = RedisServer(self.folder / "redis", tcp=True, own_session=True).start()
        self._stack.callback(self.server.stop)
        self.redis = self._stack.enter_context(self.server.client())
        self.driver = Driver(self.server.tcp_url)
        self._stack.callback(self.driver.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def rounds(self) -> int:
        """How often both sides are measured in turn: once where a short look was asked for."""
        return 5 if self.scale >= 1 else 3 if self.scale >= 0.3 else 1

    @property
    def lasting_pids(self) -> list[int]:
        """Processes of the benchmark that outlive a round: the Redis and the producer."""
        return [int(self.redis.info("server")["process_id"]), self.driver.pid]

    def sized(self, count: int) -> int:
        """Return a count of jobs at this run's scale, at least 100."""
        return max(100, round(count * self.scale))

    def redis_cpu_s(self) -> float:
        """Seconds of CPU that the server has used so far."""
        used = self.redis.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def completed(self, queue: str) -> int:
        """How many completed jobs lie in Redis."""
        return int(self.redis.zcard(f"bull:{queue}:completed"))

    def results(self, queue: str) -> list[float]:
        """Return values of all completed jobs, as numbers."""
        pipeline = self.redis.pipeline(transaction=False)
        for job_id in self.redis.zrange(f"bull:{queue}:completed", 0, -1):
            pipeline.hget(f"bull:{queue}:{job_id}", "returnvalue")
        return [float(value) for value in pipeline.execute()]

    def fill(self, queue: str, count: int) -> None:
        """Add so many jobs that do nothing, by jobd's client: what lies there is the same whoever adds it."""
        with Queue(queue, url=self.server.tcp_url) as ours:
            for start in range(0, count, _BULK):
                ours.add_many([("noop", {"i": number}) for number in range(start, min(start + _BULK, count))])

    @contextmanager
    def jobd(
        self, queues: Mapping[str, Table], *, more: Table | None = None, ready_s: float = 30
    ) -> Iterator[JobdDaemon]:
        """A daemon with these queues, ready; `more` is its [daemon] table. Redis is emptied after it."""
        daemon = JobdDaemon(Path(tempfile.mkdtemp(dir=self.folder)), self.server.tcp_url, queues, more or {})
        try:
            yield daemon.start(ready_s)
        finally:
            daemon.stop()
            self.redis.flushall()

    @contextmanager
    def node(self, queue: str, *, workers: int = 1, concurrency: int = 1) -> Iterator[NodeWorkers]:
        """BullMQ workers of one queue, ready; Redis is emptied after them."""
        node = NodeWorkers(self.server.tcp_url, queue, workers, concurrency)
        try:
            yield node
        finally:
            node.stop()
            self.redis.flushall()


class Driver:
    """The producer of both sides: BullMQ's Queue in a Node process of its own."""

    def __init__(self, url: str) -> None:
        self._process = start_node(_NODE / "driver.cjs", url, own_session=True)
        self._answer()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, action: str, queue: str, **rest: object) -> float:
        """Let it do one thing (`actions` in driver.cjs); return the seconds that it took there."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": action, "queue": queue, **rest}) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def stop(self) -> None:
        """End it."""
        _end(self._process)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the producer ended: {self._process.stderr.read()}")
        return dict(json.loads(line))


class NodeWorkers:
    """Processes with one BullMQ worker each."""

    def __init__(self, url: str, queue: str, workers: int, concurrency: int) -> None:
        script = _NODE / "worker.cjs"
        self._processes = [start_node(script, url, queue, str(concurrency), own_session=True) for _ in range(workers)]
        for process in self._processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"a Node worker did not start: {process.communicate()[1]}")

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self._processes]

    def stop(self) -> None:
        """End them; what they hold is not waited for."""
        for process in self._processes:
            _end(process)


class JobdDaemon:
    """`jobd run` on a generated file in a folder of its own."""

    def __init__(self, folder: Path, url: str, queues: Mapping[str, Table], more: Table) -> None:
        self.folder = folder
        self.url = url
        self._more = more
        self.process: subprocess.Popen[bytes] | None = None
        self.write(queues)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker["pid"] for queue in self.status()["queues"] for worker in queue["workers"]]

    def write(self, queues: Mapping[str, Table]) -> None:
        """Write the file; a running daemon reads it at the next reload."""
        lines = ["[app]", f"path = [{json.dumps(str(ROOT))}]", "[redis]", f"url = {json.dumps(self.url)}"]
        lines += _table("daemon", self._more)
        for name, table in queues.items():
            lines += _table(f"queues.{name}", table)
        (self.folder / "jobd.toml").write_text("\n".join(lines) + "\n")

    def start(self, ready_s: float = 30) -> JobdDaemon:
        """Start it and wait until it is ready."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run"), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        wait_until(self._is_ready, ready_s, what="jobd is ready")
        return self

    def stop(self, limit_s: float = 30) -> None:
        """Stop it at once; harmless when it is not running."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(timeout=limit_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL the daemon and its workers, and wait until the daemon is gone."""
        assert self.process is not None
        workers = self.pids
        for pid in [self.process.pid, *workers]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def command(self, *arguments: str) -> list[str]:
        """The command line of a jobd command in this folder."""
        return [sys.executable, "-m", "jobd", *arguments]

    @property
    def env(self) -> dict[str, str]:
        """The environment of those commands: nothing of the caller's that configures jobd."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
        return {**mine, "PYTHONPATH": str(ROOT), "JOBD_SOCKET": str(self.socket)}

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Ask the daemon over its socket."""
        with ControlClient.connect([self.socket]) as client:
            return client.call(method, params, timeout=30)

    def status(self) -> dict[str, Any]:
        """What `jobd status --json` says."""
        return self.call("status")

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        assert self.process is not None
        return self.process.pid

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.folder / "s"

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"jobd ended: {(self.folder / 'log').read_text()[-3000:]}")
        try:
            status = self.status()
        except DaemonAway:
            return False
        # The daemon is ready when each queue has a worker; measured are those with all of them.
        workers = [worker["state"] for queue in status["queues"] for worker in queue["workers"]]
        return bool(status["state"] == "ready") and all(state == "ready" for state in workers)


def _table(name: str, values: Table) -> list[str]:
    return [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]


def _toml(value: Any) -> str:
    """Write a value; JSON is TOML but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def cpu_s(pids: list[int]) -> float:
    """Seconds of CPU that these processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return total / _TICKS


def memory_mb(pid: int, *kinds: str) -> float:
    """Sum of these lines of the process's smaps_rollup, in 10^6 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in kinds) * 1024 / 1e6


def since(started_at: float) -> float:
    """Seconds since a moment of time.monotonic()."""
    return time.monotonic() - started_at


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
