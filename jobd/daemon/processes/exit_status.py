"""How a process ended, in words; the daemon's own part in it."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.daemon.processes.worker_state import Worker

log = event_log(__name__)


class Ending(StrEnum):
    """Why a worker's process ended, as far as the daemon had a part in it."""

    CRASHED = "crashed"
    """Nobody asked for it: counted on its jobs and on the queue's breaker."""
    MEMORY = "memory"
    """Killed by the daemon over memory_max: the worker's own doing, counted like a crash."""
    STOOD_STILL = "stood still"
    """Killed by the daemon because its event loop did not turn any more: its own doing, counted like a crash."""
    START_FAILED = "start failed"
    """It said that it cannot work, or was not ready in time; it held no job."""
    ASKED = "asked"
    """Drained, stopped or no longer wanted: not counted."""
    TIMED_OUT = "timed out"
    """Killed because one job's time was over: that job fails its attempt, its neighbours are not counted."""
    CANCELLED = "cancelled"
    """Killed because a cancelled job did not stop: that job fails for good, its neighbours are not counted."""
    LOCK_LOST = "lock lost"
    """Killed because a job whose lock another owns did not stop: not counted."""
    TEMPLATE_DIED = "template died"
    """Its template died and took it along: not counted."""

    @property
    def counted(self) -> bool:
        """Whether the jobs it held have lost a worker by somebody's fault (`stc`)."""
        return self in (Ending.CRASHED, Ending.MEMORY, Ending.STOOD_STILL)


LAST_LINES = 400
"""Lines of a dead worker's output that are looked through for its last words."""

_WORDS = 3
_FRAMES = 5

UNKNOWN_STATUS = -1
"""Nobody could tell the wait status (the template died between reaping and telling)."""


def describe(status: int) -> str:
    """Return a wait status in words: "signal 9 (SIGKILL)", "exit code 3"."""
    if status == UNKNOWN_STATUS:
        return "exit status unknown"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "real-time signal"
    return f"signal {-code} ({name})"


def status_of_zombie(pid: int) -> int:
    """Return the wait status of an ended process that its parent has not reaped; UNKNOWN_STATUS when it is gone.

    Source: proc_pid_stat(5), fields 3 and 52.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return UNKNOWN_STATUS
    return int(fields[-1]) if fields[0] == "Z" else UNKNOWN_STATUS


def is_kill(status: int) -> bool:
    """Tell whether a wait status is death by SIGKILL, the kernel's way when memory runs out."""
    return status != UNKNOWN_STATUS and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def wait_status_of(result: os.waitid_result) -> int:
    """Return what waitpid would have said for an answer of waitid."""
    if result.si_code == os.CLD_EXITED:
        return result.si_status << 8
    core = 0x80 if result.si_code == os.CLD_DUMPED else 0
    return result.si_status | core


def last_words(lines: Sequence[str]) -> list[str]:
    """Return what a dead worker's output says about its death: its last lines.

    Of a dump of `faulthandler` these would be its list of modules: the fatal error and the innermost frames of the
    thread that died are returned instead.
    """
    said = [line for line in lines if line.strip()]
    fatal = next((at for at in reversed(range(len(said))) if said[at].startswith("Fatal Python error:")), None)
    if fatal is None:
        return said[-_WORDS:]
    current = next((at for at in range(fatal, len(said)) if said[at].startswith("Current thread 0x")), fatal)
    frames = list(takewhile(lambda line: line.startswith("  File "), said[current + 1 :]))
    return [said[fatal], *frames[:_FRAMES]]


def log_exit(worker: Worker, queue: str, now: float) -> None:
    """Write the line about a worker's end; `now`: monotonic, seconds."""
    write = log.info if worker.ending is Ending.ASKED else log.warning
    write(
        "worker exited", queue=queue, pid=worker.pid or None, generation=worker.generation,
        exit=describe(worker.status) if worker.pid else None, why=worker.ending.value, cause=worker.cause,
        uptime_ms=round((now - worker.started_at) * 1000),
    )  # fmt: skip
