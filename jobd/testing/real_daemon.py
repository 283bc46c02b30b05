"""A real daemon for a test: its own embedded server, real workers, real kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.errors import DaemonAway, JobdError

if TYPE_CHECKING:
    from typing import Unpack

    from jobd.client import JobHandle, Queue
    from jobd.engine.add_options import AddOptions

START_LIMIT_S = 60.0
"""How long a start may take: imports of the application and a busy machine included."""

STOP_LIMIT_S = 60.0
"""Above the default grace, after which a daemon kills what still runs."""

_POLL_S = 0.02


class RealDaemon:
    """`jobd run` with the configuration of a test; `toml` without a `[redis]` gets an embedded server.

    The configuration is `folder/jobd.toml`, the log `folder/daemon.log`. What the test can import, its workers can.
    `env` is what programs need besides their own environment to reach it.
    """

    def __init__(self, toml: str, folder: Path) -> None:
        self.folder = folder
        self.config: Path = folder / "jobd.toml"
        self.log: Path = folder / "daemon.log"
        tables = tomllib.loads(toml)
        redis = "" if "redis" in tables else "\n\n[redis]\nembedded = true\n"
        self.config.write_text(toml + redis)
        # Not below `folder`: the path of a Unix socket has 107 bytes at most.
        self._state = Path(tempfile.mkdtemp(prefix="jobd-test-"))
        self.env = {
            "JOBD_CONFIG": str(self.config),
            "JOBD_DAEMON__SOCKET": str(self._state / "control.sock"),
            "JOBD_DAEMON__STATE_DIR": str(self._state),
        }
        self._queues: dict[str, Queue] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RealDaemon:
        """Start it and return when it is ready, or degraded. Raises JobdError, with the log's end, when it is not."""
        importable = [path for path in sys.path if path and Path(path).is_dir()]
        env = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
        env |= {**self.env, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *importable])}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobd", "run"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=env,
            )  # fmt: skip
        end = time.monotonic() + START_LIMIT_S
        while True:
            if self._process.poll() is not None:
                raise JobdError(f"the daemon ended with exit code {self._process.returncode}:\n{self._tail()}")
            try:
                if self.status()["state"] in ("ready", "degraded"):
                    return self
            except DaemonAway:
                pass
            if time.monotonic() > end:
                raise JobdError(f"the daemon is not ready after {START_LIMIT_S:.0f}s:\n{self._tail()}")
            time.sleep(_POLL_S)

    def status(self) -> dict[str, Any]:
        """Return the document of `jobd status`."""
        from jobd.protocol.control_client import ControlClient

        with ControlClient.connect([Path(self.env["JOBD_DAEMON__SOCKET"])]) as client:
            status: dict[str, Any] = client.call("status", {"queues": []})
        return status

    def add(self, queue: str, name: str, data: Any = {}, **options: Unpack[AddOptions]) -> JobHandle:  # noqa: B006 - never changed
        """Add a job, as Queue.add."""
        return self.queue(queue).add(name, data, **options)

    def wait(self, job: JobHandle, timeout: str | float = "30s") -> Any:
        """Return the job's result; raises JobFailed, TimeoutError as JobHandle.wait."""
        return job.wait(timeout)

    def queue(self, name: str) -> Queue:
        """Return the client of a queue, closed with the daemon."""
        from jobd.client import Queue
        from jobd.engine.connect import sync_client
        from jobd.locate import redis_source

        if name not in self._queues:
            source = redis_source(config=self.config, env={**os.environ, **self.env})
            self._queues[name] = Queue(name, connection=sync_client(source), prefix=source.prefix)
        return self._queues[name]

    def stop(self) -> int:
        """Stop it as `jobd stop` does and return its exit code; nothing of it is left. Twice is harmless."""
        for queue in self._queues.values():
            queue.close()
            queue._live().client.close()
        self._queues.clear()
        process = self._process
        if process is None:
            shutil.rmtree(self._state, ignore_errors=True)
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._process = None
        shutil.rmtree(self._state, ignore_errors=True)
        return code

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]
