"""What a fork leaves in the worker that forks."""

from __future__ import annotations

import subprocess
import sys

_FORKS = """
import gc, os, signal
from jobd.worker import forks

class Nothing:
    def fileno(self): return -1

for _ in range(3):
    forks.withhold(Nothing())
    gc.collect()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_a_fork_keeps_no_signal_from_the_worker() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
