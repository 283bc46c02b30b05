"""Programs that handlers left behind, also in sessions of their own: found because this daemon is a subreaper.

An orphan below the daemon becomes its child (prctl(2), PR_SET_CHILD_SUBREAPER). It is a handler's when its environment
says so; it goes with its worker. Whose it is is known when it was started with exec: the worker's pid is in its
environment. One that only forked is taken for the dead worker's when it became ours with that death.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.daemon.processes.kernel import children
from jobd.locate import OFFSPRING_VARIABLE, WORKER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

log = event_log(__name__)

_WORKER = re.compile(rb"(?:^|\0)" + WORKER_VARIABLE.encode() + rb"=/proc/(\d+)/")

_PASSES = 20
"""What is killed leaves its own children to us: they are found in the next pass."""


class Orphans:
    """The orphans of handlers. `ours` returns the pids of children whose exit somebody waits for."""

    def __init__(self, ours: Callable[[], Collection[int]]) -> None:
        self._ours = ours
        self._mark = f"\0{OFFSPRING_VARIABLE}={os.getpid()}\0".encode()
        self._seen: set[int] = set()

    def look(self) -> None:
        """Note who is there now, once a second: these were not left by a worker that dies later."""
        self._seen = set(children())

    def worker_gone(self, worker: int) -> None:
        """SIGKILL what the handlers of an ended worker left behind."""
        self._kill(lambda pid, of: of == worker or (of is None and pid not in self._seen), worker)

    def all_gone(self) -> None:
        """SIGKILL what the handlers of any worker left behind: the daemon stops."""
        self._kill(lambda pid, of: True, None)

    def _kill(self, meant: Callable[[int, int | None], bool], worker: int | None) -> None:
        killed: set[int] = set()
        for _ in range(_PASSES):
            found = {pid for pid in set(children()).difference(self._ours(), killed) if self._is_meant(pid, meant)}
            if not found:
                break
            for pid in found:
                _kill_group(pid)
            killed |= found
        if killed:
            log.warning("programs of handlers killed: their worker has ended", pid=worker, pids=sorted(killed))

    def _is_meant(self, pid: int, meant: Callable[[int, int | None], bool]) -> bool:
        try:
            environment = b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False  # ended, or another user's
        if self._mark not in environment:
            return False
        found = _WORKER.search(environment)
        return meant(pid, int(found[1]) if found else None)


def _kill_group(pid: int) -> None:
    """Kill a process; with its group when it leads one, so that what it started goes at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
