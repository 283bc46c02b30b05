"""One daemon a state folder, and what the next one must know about it.

`lock` is held (flock) as long as the daemon lives, however it dies; in it are its pid and its control socket.
`incarnations.json` names the running incarnation, its processes and its queues, so that the next start can tell which
jobs are left without an owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobd.daemon.logs import event_log
from jobd.errors import Refused
from jobd.locate.sockets import LOCK_NAME

RECORD_NAME = "incarnations.json"
_LAYOUT = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STAT_START_TIME = 19
"""Field 22 of /proc/PID/stat (proc(5)), counted behind the name, which may hold blanks and parentheses."""

_log = event_log(__name__)


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, told apart from a later one with the same pid by its start time (clock ticks since boot)."""

    pid: int
    start_time: int

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return start_time(self.pid) == self.start_time


@dataclass(frozen=True, slots=True)
class ServedQueue:
    """A queue an incarnation took jobs from. `url` is masked: credentials come from the configuration."""

    url: str
    prefix: str
    queue: str


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One start of the daemon. `processes` are the daemon's, its templates' and its workers'."""

    id: str
    boot_id: str
    host: str
    processes: tuple[ProcessMark, ...] = ()
    queues: tuple[ServedQueue, ...] = ()

    def of_this_boot(self) -> bool:
        """Whether it ran on this machine since it was last started, so that its pids mean something here."""
        return self.boot_id == boot_id()

    def survivors(self) -> list[ProcessMark]:
        """Return its processes that still run; they are to be killed and waited for before its jobs are recovered."""
        never = (1, os.getpid())  # the daemon of a container is pid 1 there, and so is its successor
        return [mark for mark in self.processes if mark.pid not in never and mark.alive()]


@dataclass(slots=True)
class StateDir:
    """The state folder, locked by this process from `acquire` to `release`."""

    folder: Path
    socket: Path | None = None
    """The control socket, noted in the lock for whoever looks for it where a changed file says."""
    _lock_fd: int | None = field(default=None, repr=False)

    def acquire(self) -> None:
        """Hold the folder alone; it is made (0700) when it is not there.

        Raises:
            Refused: another daemon holds it (the message names its pid), or it cannot be used.
        """
        if self._lock_fd is not None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f'cannot use the state folder "{self.folder}": {error.strerror or error}'
            raise Refused("state-dir-unusable", message) from error
        try:
            self._take(fd)
        except BaseException:
            os.close(fd)
            raise
        self._lock_fd = fd

    def _take(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").partition("\n")[0] or "unknown"
            message = f'another daemon (pid {pid}) uses the state folder "{self.folder}"; stop it with: jobd stop'
            raise Refused("state-dir-taken", message, detail={"pid": pid}) from None
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n{self.socket or ''}\n".encode(errors="surrogateescape"), 0)
        except OSError as error:
            message = f'cannot write into the state folder "{self.folder}": {error.strerror}'
            raise Refused("state-dir-unusable", message) from error

    def release(self) -> None:
        """Let the next daemon have the folder; harmless when it is not held."""
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)

    def is_lost(self) -> bool:
        """Tell whether the lock in the folder is not the one that is held: somebody has removed it."""
        if self._lock_fd is None:
            return False
        try:
            there = (self.folder / LOCK_NAME).stat()
        except OSError:
            return True
        held = os.fstat(self._lock_fd)
        return (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino)

    def hold_again(self) -> None:
        """Make the folder and its lock anew. Raises as `acquire`; then the old lock, which nobody sees, is kept."""
        old, self._lock_fd = self._lock_fd, None
        try:
            self.acquire()
        except BaseException:
            self._lock_fd = old
            raise
        if old is not None:
            os.close(old)

    def previous(self) -> list[Incarnation]:
        """Return the incarnations whose jobs nobody has recovered yet, oldest first.

        A file that cannot be read is kept as `incarnations.json.broken` and counts as none: the stalled check gets
        those jobs, later than recovery would.
        """
        path = self.folder / RECORD_NAME
        try:
            return _read(path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            kept = path.with_name(RECORD_NAME + ".broken")
            with contextlib.suppress(OSError):
                path.replace(kept)
            _log.error(
                "record of earlier incarnations cannot be read",
                path=str(path), kept_as=str(kept), error=f"{type(error).__name__}: {error}",
            )  # fmt: skip
            return []

    def record(self, incarnations: list[Incarnation]) -> None:
        """Replace the record on disk, whole: a crash in the middle leaves the old one.

        It must name a worker's process and queue before that worker's first take: whatever is in Redis under our
        token prefix is then known to the next start.

        Raises:
            OSError: it could not be written; the old record stands.
        """
        path = self.folder / RECORD_NAME
        fresh = path.with_name(f".{RECORD_NAME}.{os.getpid()}")
        content = {"layout": _LAYOUT, "incarnations": [asdict(incarnation) for incarnation in incarnations]}
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        _sync_folder(self.folder)


def this_incarnation(incarnation_id: str) -> Incarnation:
    """Return the record of an incarnation that this process begins."""
    own = mark(os.getpid())
    return Incarnation(incarnation_id, boot_id(), socket.gethostname(), (own,) if own else ())


def mark(pid: int) -> ProcessMark | None:
    """Return the mark of a running process, None when it is gone already."""
    since = start_time(pid)
    return None if since is None else ProcessMark(pid, since)


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when there is none, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[_STAT_START_TIME])


def boot_id() -> str:
    """Return the id of this boot of the machine; a container shares its host's."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _read(content: bytes) -> list[Incarnation]:
    document = json.loads(content)
    if document["layout"] != _LAYOUT:
        raise ValueError(f"layout {document['layout']} is not {_LAYOUT}")
    return [_incarnation(entry) for entry in document["incarnations"]]


def _incarnation(entry: dict[str, Any]) -> Incarnation:
    return Incarnation(
        id=_text(entry["id"]),
        boot_id=_text(entry["boot_id"]),
        host=_text(entry["host"]),
        processes=tuple(ProcessMark(_pid(p["pid"]), _number(p["start_time"])) for p in entry["processes"]),
        queues=tuple(ServedQueue(_text(q["url"]), _text(q["prefix"]), _text(q["queue"])) for q in entry["queues"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return value


def _pid(value: Any) -> int:
    # These are pids to kill: to kill(2) 0 and negative ones are whole groups.
    if _number(value) < 1:
        raise ValueError(f"{value} is no pid")
    return int(value)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
