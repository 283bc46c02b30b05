"""Memory of processes, and whether the kernel killed one for it."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process without file-backed pages; 0 when it is gone.

    Pages that it still shares with its template count too: proc(5) tells them apart only in smaps, which costs the
    kernel a walk over all of them.
    """
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE


class OomKills:
    """The kernel's count of processes killed for memory in our control group (cgroup v2, memory.events)."""

    def __init__(self, events: Path | None = None) -> None:
        self._events = events or _own_events()
        self._seen = self._read()

    def rose(self) -> bool:
        """Tell whether the count rose since the last call; False where there is none to read."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    def _read(self) -> int:
        if self._events is None:
            return 0
        try:
            text = self._events.read_text()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)


def _own_events() -> Path | None:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    group = next((line[3:] for line in lines if line.startswith("0::")), None)
    return Path("/sys/fs/cgroup") / group.lstrip("/") / "memory.events" if group else None
