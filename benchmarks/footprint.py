"""What jobd takes while nothing happens, and what its commands and its client take to start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.figures import Figure, at_most
from benchmarks.sides import ROOT, Bench, cpu_s, memory_mb, since

_HANDLER = "benchmarks.handlers:coroutine"
_IDLE_S = 10.0

_IMPORT = """
import time
import redis
start = time.process_time()
{statement}
print((time.process_time() - start) * 1000)
"""


def idle(bench: Bench) -> Iterator[Figure]:
    """A daemon with twenty idle workers."""
    with bench.jobd({"idle": {"handler": _HANDLER, "workers": 20}}) as daemon:
        assert daemon.process is not None
        pid, workers = daemon.process.pid, daemon.pids
        window_s = max(2.0, _IDLE_S * min(1.0, bench.scale))
        before = cpu_s([pid])
        time.sleep(window_s)
        used = (cpu_s([pid]) - before) / window_s * 100
        yield Figure("daemon, 20 idle workers: CPU", "%", used, None, at_most(1))
        yield Figure("daemon, 20 idle workers: memory", "MB", memory_mb(pid, "Rss"), None, at_most(60))
        private = median(memory_mb(one, "Private_Clean", "Private_Dirty") for one in workers)
        yield Figure("one of 20 workers: private memory", "MB", private, None, at_most(10))


def commands(bench: Bench) -> Iterator[Figure]:
    """`jobd status`, from shell to shell."""
    took_ms = []
    with bench.jobd({"idle": {"handler": _HANDLER}}) as daemon:
        for _ in range(7):
            start = time.monotonic()
            subprocess.run(daemon.command("status"), cwd=daemon.folder, env=daemon.env, capture_output=True, check=True)
            took_ms.append(since(start) * 1000)
    yield Figure("jobd status, shell to shell", "ms", median(took_ms), None, at_most(200))


def imports(bench: Bench) -> Iterator[Figure]:
    """Importing the client, whose names load when they are used, in a process that has imported redis.

    CPU time, and with byte code, as an installed package has it, wherever this runs from.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(bench.folder / "bytecode")
    for statement in ("import jobd.client", "from jobd.client import Queue"):
        ask = [sys.executable, "-c", _IMPORT.format(statement=statement)]
        runs = [
            subprocess.run(ask, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout for _ in range(10)
        ]
        yield Figure(f"{statement}, over import redis", "ms", median(map(float, runs[1:])), None, at_most(10))
