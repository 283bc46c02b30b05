"""Become the parent of orphans, and reap the ones nobody knows."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def become_subreaper() -> None:
    """Make orphans below us our children: when a template dies, its workers' exit statuses still come here.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot become a subreaper: {os.strerror(number)}")


def reap_strangers(ours: Collection[int]) -> list[int]:
    """Reap children that ended and are not in `ours`; return their pids.

    Programs that handlers left behind end up here (as PID 1 any orphan of the container does); without this they stay
    as zombies. `ours` are pids whose status somebody waits for.
    """
    reaped = []
    for pid in _children():
        if pid in ours:
            continue
        try:
            done, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
        if done:
            reaped.append(pid)
    return reaped


def _children() -> list[int]:
    try:
        return [
            int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
        ]
    except OSError:
        return []
