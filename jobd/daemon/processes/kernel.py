"""What the kernel is asked and told about processes: orphans, memory, kills for memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PAGE = os.sysconf("SC_PAGE_SIZE")


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
    for pid in children():
        if pid in ours:
            continue
        try:
            done, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
        if done:
            reaped.append(pid)
    return reaped


def children() -> list[int]:
    """Return the pids of this process' children, zombies among them."""
    try:
        return [
            int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
        ]
    except OSError:
        return []


class OpenFiles:
    """This process' limit of open files: raised to what its workers need, while children keep the one it was given."""

    def __init__(self) -> None:
        self.given = resource.getrlimit(resource.RLIMIT_NOFILE)

    def ensure(self, needed: int) -> int:
        """Raise the soft limit as far as `needed` and the hard one say; return the limit in force."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        if soft == resource.RLIM_INFINITY:
            return needed
        if wanted <= soft:
            return soft
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted

    def give_back(self, pid: int) -> None:
        """Give a child the limit that this process was started with: programs that use select() break above 1024."""
        with contextlib.suppress(OSError):  # it has ended already
            resource.prlimit(pid, resource.RLIMIT_NOFILE, self.given)


OPEN_FILES = OpenFiles()
"""The limit belongs to the process, so there is one."""


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


def group_limit(name: str, *, of: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the least limit of our control group and those above it (cgroup v2); None without one.

    Args:
        name: The file that holds it: `memory.max` in bytes, `pids.max` in processes and threads.
    """
    group = _own_group(of)
    if group is None:
        return None
    limits = []
    for folder in (mount / group, *(mount / group).parents):
        with contextlib.suppress(OSError, ValueError):  # "max", or a group that has no such controller
            limits.append(int((folder / name).read_text()))
        if folder == mount:
            break
    return min(limits, default=None)


class OomKills:
    """The kernel's count of processes killed for memory in our control group: memory.events, or of cgroup v1
    memory.oom_control.
    """

    def __init__(self, events: Path | None = None) -> None:
        self._events = events or kills_file()
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


def kills_file(*, of: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> Path | None:
    """Return the file with our control group's count of processes killed for memory; None where there is none."""
    places = []
    if (group := _own_group(of)) is not None:
        places.append(mount / group / "memory.events")
    if (group := _own_group(of, ":memory:")) is not None:
        # A container of cgroup v1 is told its group's name on the host, and finds it as the root.
        places += [mount / "memory" / group / "memory.oom_control", mount / "memory" / "memory.oom_control"]
    return next((place for place in places if place.is_file()), None)


def _own_group(of: Path, controller: str = "::") -> str | None:
    """Return our control group, below the mount; "" is the root. Of cgroup v2, or of a `:controller:` of v1."""
    try:
        lines = of.read_text().splitlines()
    except OSError:
        return None
    found = (line.partition(controller) for line in lines)
    return next((path.lstrip("/") for number, there, path in found if there and number.isdigit()), None)
