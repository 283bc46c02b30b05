"""A small parent of workers for tests: what the daemon does to them, without the daemon.

It makes the board, the socketpairs and the pipe, starts a template, forks workers through it, renews their locks when
asked to, and can kill them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import jobd
from jobd.engine.job import Keep
from jobd.protocol import board, framing
from jobd.protocol import worker as messages
from jobd.protocol.worker import HandlerSpec, Numbers, RedisTarget

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = ROOT / "tests" / "fixtures" / "handlers"
LOOP: Any = os.environ.get("WORKER_LOOP", "asyncio")
"""`WORKER_LOOP=uvloop pytest tests/integration/test_worker_*.py` runs them on the other loop."""

T = TypeVar("T")


def numbers(handler: str | None, *, concurrency: int = 1, lock_ms: int = 30_000, **more: Any) -> Numbers:
    """Numbers with the file's defaults; `more` goes into the default handler's spec or into the numbers."""
    spec_fields = set(HandlerSpec.__dataclass_fields__)
    spec = {name: value for name, value in more.items() if name in spec_fields}
    rest = {name: value for name, value in more.items() if name not in spec_fields}
    base = Numbers(
        concurrency, lock_ms, Keep(), Keep(), None, None, "fail",
        HandlerSpec(handler, **spec) if handler else None, {},
    )  # fmt: skip
    return replace(base, **rest)


class WorkerProcess:
    """One forked worker, seen from the daemon's side."""

    def __init__(self, name: str, pid: int, pidfd: int, sock: Any, board_fd: int, output: int) -> None:
        self.name = name
        self.pid = pid
        self.pidfd = pidfd
        self.sock = sock
        self.board = board.BoardReader(board_fd)
        os.close(board_fd)
        self._output = output
        self._printed = bytearray()
        self.token_prefix = f"testinc:{name}:"

    def send(self, message: messages.Message) -> None:
        """Send it a command."""
        framing.send(self.sock, messages.encode(message))

    def expect(self, kind: type[T], deadline: float = 10.0) -> T:
        """Return the next message of this kind; others before it are dropped."""
        end = time.monotonic() + deadline
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise AssertionError(f"no {kind.__name__} within {deadline}s; printed: {self.printed()}")
            packet = framing.receive(self.sock)
            if packet is None:
                raise AssertionError(f"the worker ended instead of {kind.__name__}; printed: {self.printed()}")
            message = messages.decode(packet[0])
            if isinstance(message, kind):
                return message

    def wait_gone(self, deadline: float = 10.0) -> None:
        """Wait until the process has ended."""
        if not select.select([self.pidfd], [], [], deadline)[0]:
            raise AssertionError(f"worker {self.pid} still runs after {deadline}s; printed: {self.printed()}")

    def alive(self) -> bool:
        """Whether the process runs."""
        return not select.select([self.pidfd], [], [], 0)[0]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.wait_gone()

    def printed(self) -> str:
        """Everything it has written to stdout and stderr so far."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._output, 65536):
                self._printed += chunk
        return self._printed.decode("utf-8", "replace")

    def close(self) -> None:
        """End it and release everything."""
        if self.alive():
            self.kill()
        self.sock.close()
        self.board.close()
        os.close(self.pidfd)
        os.close(self._output)


class WorkerParent:
    """A template and its workers. Use as a context manager: nothing is left behind."""

    def __init__(self, url: str, prefix: str, *, path: list[str] | None = None) -> None:
        self.redis = RedisTarget(url, prefix)
        self.path = path or [str(HANDLERS)]
        self.workers: list[WorkerProcess] = []
        self._serial = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: Any = None

    def __enter__(self) -> WorkerParent:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close()
        if self._process is not None:
            self._sock.close()
            self._process.wait(10)

    def load(
        self, *handlers: str, extras: list[str] | None = None, env: dict[str, str] | None = None
    ) -> messages.Loaded:
        """Start the template and return what importing gave."""
        ours, theirs = framing.pair()
        os.set_inheritable(theirs.fileno(), True)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobd.worker.template", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._sock = ours
        load = messages.Load(
            jobd.__version__, board.LAYOUT, self.path, env or {}, [messages.HandlerUse(each) for each in handlers],
            extras or [], self.redis
        )  # fmt: skip
        framing.send(ours, messages.encode(load))
        return self._expect(messages.Loaded)[0]

    def fork(self) -> WorkerProcess:
        """Return a new worker that waits for its Start."""
        if self._process is None:
            self.load()
        self._serial += 1
        name = f"0.0.{self._serial}"
        ours, theirs = framing.pair()
        board_fd = board.create()
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_end, False)
        framing.send(self._sock, messages.encode(messages.Fork(name)), (theirs.fileno(), board_fd, write_end))
        theirs.close()
        os.close(write_end)
        forked, fds = self._expect(messages.Forked)
        worker = WorkerProcess(name, forked.pid, fds[0], ours, board_fd, read_end)
        self.workers.append(worker)
        return worker

    def start(self, queue: str, numbers: Numbers, *, takes: bool = True, **fields: Any) -> WorkerProcess:
        """Fork a worker, start it, wait until it is ready and have it take jobs."""
        worker = self.fork()
        worker.send(self.start_message(worker, queue, numbers, **fields))
        worker.expect(messages.Ready)
        if takes:
            worker.send(messages.Resume())
        return worker

    def start_message(self, worker: WorkerProcess, queue: str, numbers: Numbers, **fields: Any) -> messages.Start:
        """Return the Start of a worker of this queue."""
        base = messages.Start(
            worker.name, f"testhost:{queue}", queue, worker.token_prefix, self.redis, numbers,
            None, None, [], None, loop=LOOP,
        )  # fmt: skip
        return replace(base, **fields)

    def exited(self, deadline: float = 10.0) -> messages.Exited:
        """Return the next report of an ended worker."""
        return self._expect(messages.Exited, deadline)[0]

    @property
    def template_pid(self) -> int:
        """Process number of the template."""
        assert self._process is not None
        return self._process.pid

    def kill_template(self) -> None:
        """SIGKILL the template."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _expect(self, kind: type[T], deadline: float = 20.0) -> tuple[T, list[int]]:
        end = time.monotonic() + deadline
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._sock], [], [], left)[0]:
                raise AssertionError(f"no {kind.__name__} from the template within {deadline}s")
            packet = framing.receive(self._sock)
            if packet is None:
                raise AssertionError(f"the template ended instead of {kind.__name__}")
            message = messages.decode(packet[0])
            if isinstance(message, kind):
                return message, packet[1]
            framing.close_all(packet[1])


@contextlib.contextmanager
def renewing(client: Any, prefix: str, queue: str, lock_ms: int) -> Iterator[None]:
    """Extend every lock of a queue each third of its life, as the daemon does."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(lock_ms / 3000):
            for job_id in client.lrange(f"{prefix}:{queue}:active", 0, -1):
                client.pexpire(f"{prefix}:{queue}:{job_id}:lock", lock_ms)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
