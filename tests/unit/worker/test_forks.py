"""What a fork leaves in the worker that forks."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobd.worker.forks import set_title

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


def test_ps_shows_the_queue_whole_where_setproctitle_is_there_and_its_beginning_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    titles: list[str] = []
    monkeypatch.setitem(sys.modules, "setproctitle", SimpleNamespace(setproctitle=titles.append))
    names: list[str] = []

    def own_thread() -> None:
        # The kernel's name belongs to a thread: this one ends with it.
        set_title("jobd worker: newsletters 3", "newsletters 3 of many")
        names.append(Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip())

    thread = threading.Thread(target=own_thread)
    thread.start()
    thread.join()
    assert titles == ["jobd worker: newsletters 3"]
    assert names == ["newsletters 3 o"]
