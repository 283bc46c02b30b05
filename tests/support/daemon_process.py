"""The real daemon as a child of the test: `python -m jobd run` with a configuration of the test's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
HANDLERS = ROOT / "tests" / "fixtures" / "daemon"
"""On `path` of every test's workers: handler modules that succeed, hang, exit and are killed."""


class Failed(AssertionError):
    """The daemon answered with an error; `error` is the JSON-RPC object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.error = error
        self.exit = error.get("data", {}).get("exit")


class DaemonProcess:
    """One daemon with its files in `folder`. Use as a context manager: nothing of it is left afterwards."""

    def __init__(
        self, folder: Path, redis_url: str, queues: str, *, prefix: str = "bull", head: str = "", redis: str = "",
        args: tuple[str, ...] = (), env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Write the configuration. `queues` is TOML that follows [redis]; `head` comes before it, `redis` into it."""
        self.folder = folder
        self.config = folder / "jobd.toml"
        self.socket = folder / "control.sock"
        self.log = folder / "daemon.log"
        self.redis_url = redis_url
        self.prefix = prefix
        self.head = head
        self.redis = redis
        self.args = args
        self.env = {**os.environ, **(env or {})}
        self.launcher: tuple[str, ...] = ()
        """A command that becomes the one behind it."""
        self.process: subprocess.Popen[bytes] | None = None
        self._numbers = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.write(queues)

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    def write(self, queues: str) -> None:
        """Replace the configuration file; nothing is reloaded."""
        redis = f'[redis]\nurl = "{self.redis_url}"\nprefix = "{self.prefix}"\n'
        if self.redis_url == "embedded":
            redis = f'[redis]\nembedded = true\nprefix = "{self.prefix}"\n'
        self.config.write_text(
            f'[app]\npath = ["{HANDLERS}"]\n{self.head}\n{redis}{self.redis}\n'
            f'[daemon]\nsocket = "{self.socket}"\nstate_dir = "{self.folder}/state"\ngrace = "5s"\n'
            f'log = {{ format = "json", level = "debug" }}\n{queues}\n'
        )

    def start(self) -> DaemonProcess:
        """Start it; it may not be ready yet."""
        env = {**self.env, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, sys.executable, "-m", "jobd", "run", "--config", str(self.config), *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=env, start_new_session=True,
            )  # fmt: skip
        return self

    def start_ready(self, deadline: float = 20.0) -> DaemonProcess:
        """Start it and wait until it says that it is ready, or degraded."""
        self.start()
        self.wait_ready(deadline)
        return self

    def wait_ready(self, deadline: float = 20.0) -> dict[str, Any]:
        """Return its status once the start is over."""
        return wait_until(self._status_when_ready, deadline, what="the daemon is ready")

    def _status_when_ready(self) -> dict[str, Any] | None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log_tail()}")
        try:
            status = self.status()
        except OSError:
            return None
        return status if status["state"] in ("ready", "degraded") else None

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        assert self.process is not None
        return self.process.pid

    # --- asking it ---------------------------------------------------------------------------------------------------

    def call(self, method: str, timeout: float = 30.0, progress: list[str] | None = None, **params: Any) -> Any:
        """Return the result of one method; raises Failed for an error, OSError when nobody answers."""
        self._numbers += 1
        request = {"jsonrpc": "2.0", "id": self._numbers, "method": method, "params": params}
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            wait_until(lambda: self._connects(sock), timeout)
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if answer.get("method") == "progress":
                        if progress is not None:
                            progress.append(answer["params"]["text"])
                        continue
                    if "error" in answer:
                        raise Failed(answer["error"])
                    return answer["result"]
        raise ConnectionError("the daemon closed the connection")

    def _connects(self, sock: socket.socket) -> bool:
        """Connect; False while its queue of connections is full, as in a storm of them."""
        try:
            sock.connect(str(self.socket))
        except BlockingIOError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """Return the document of `status`."""
        return self.call("status", queues=[])

    def queue(self, name: str) -> dict[str, Any]:
        """Return one queue of the status."""
        return next(queue for queue in self.status()["queues"] if queue["name"] == name)

    def worker_pids(self, name: str, *states: str) -> list[int]:
        """Return the pids of a queue's workers that are in one of these states (ready without one)."""
        wanted = states or ("ready",)
        return [worker["pid"] for worker in self.queue(name)["workers"] if worker["state"] in wanted]

    def children(self) -> list[int]:
        """Return the pids of everything below the daemon."""
        found, left = [], [self.pid]
        while left:
            for task in Path(f"/proc/{left.pop()}/task").glob("*/children"):
                try:
                    pids = [int(pid) for pid in task.read_text().split()]
                except OSError:
                    continue
                found += pids
                left += pids
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        lines = self.log.read_text(errors="replace").splitlines()
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in parsed if line.get("event") == event]

    def log_tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""

    # --- ending it ---------------------------------------------------------------------------------------------------

    def reload(self, queues: str | None = None, *, code: bool = False) -> dict[str, Any]:
        """Write the file when given, reload, return the report."""
        if queues is not None:
            self.write(queues)
        return self.call("reload", code=code)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, deadline: float = 15.0) -> int:
        """SIGTERM, and wait; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline)

    def wait(self, deadline: float = 15.0) -> int:
        """Return its exit code once it has ended."""
        assert self.process is not None
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end within {deadline}s:\n{self.log_tail()}") from None

    def kill(self) -> None:
        """SIGKILL the daemon, and wait until it and everything below it is gone."""
        below = self.children()
        self.signal(signal.SIGKILL)
        self.wait()
        wait_until(lambda: not any(alive(pid) for pid in below), 10, what="workers die with the daemon")

    def destroy(self) -> None:
        """End it whatever its state, with everything below it."""
        if self.process is None or self.process.poll() is not None:
            return
        below = self.children()
        self.process.kill()
        self.process.wait()
        end = time.monotonic() + 5
        while any(alive(pid) for pid in below):
            if time.monotonic() > end:
                raise AssertionError(f"left behind: {[pid for pid in below if alive(pid)]}")
            time.sleep(0.01)


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
