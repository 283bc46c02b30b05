"""The socket file: bound so that nobody else could ever connect, never over one that answers."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.errors import Refused
from jobd.exits import Exit
from jobd.protocol.control_client import is_manager, short_path

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 256


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket and its file: `place` is free of symlinks, `mark` its device and inode.

    `kept` is one that systemd passed: it goes on listening when this daemon is gone, and the file is its own.
    """

    sock: socket.socket
    place: Path
    mark: tuple[int, int]
    kept: bool = False

    def is_at(self, path: Path) -> bool:
        """Tell whether this path leads to the file."""
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.mark

    def remove(self) -> None:
        """Remove the file, unless another daemon has put its own there meanwhile."""
        with contextlib.suppress(OSError):
            if not self.kept and self.is_at(self.place):
                self.place.unlink()


def bind(path: Path, group: str | None = None, passed: socket.socket | None = None) -> Bound:
    """Listen at `path`, on the `passed` socket while its file is there; raises as `listen_privately`."""
    kept = passed is not None and path.is_socket()
    sock = passed if passed is not None and kept else listen_privately(path, group)
    found = path.lstat()
    return Bound(sock, path.parent.resolve() / path.name, (found.st_dev, found.st_ino), kept)


def listen_privately(path: Path, group: str | None = None) -> socket.socket:
    """Return a listening socket at `path` with mode 0600, or 0660 for a group; nobody else could connect at any moment.

    It is bound under another name and renamed once its mode is right: the umask may be anything.

    Raises:
        Refused: somebody answers at `path`, the place cannot be used, or there is no such group.
    """
    gid = None if group is None else _gid(group)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if gid is not None:
            _open_folder(path.parent)
        check_free(path)
        fresh = path.with_name(f".{os.getpid()}.sock")
        fresh.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(fresh) as name:
                sock.bind(name)
            fresh.chmod(0o600)
            if gid is not None:
                # The shipped unit filters chown: the daemon's own group needs none.
                if fresh.stat().st_gid != gid:
                    os.chown(fresh, -1, gid)
                fresh.chmod(0o660)
            sock.listen(BACKLOG)
            sock.setblocking(False)
            fresh.rename(path)
        except BaseException:
            sock.close()
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refused("socket-unusable", f'cannot listen at "{path}": {error.strerror or error}') from error
    return sock


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        message = f'no such group: "{group}" (socket_group or status_group in [daemon])'
        raise Refused("group-unknown", message, exit_code=Exit.CONFIG) from None


def _open_folder(folder: Path) -> None:
    """Let others pass through a folder that is the owner's alone; what lies in it keeps its own modes."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & 0o011:
        folder.chmod(mode | 0o011)


def check_free(path: Path) -> None:
    """See that nobody answers at `path`, and that what lies there may be replaced.

    Raises:
        Refused: another daemon answers there, or it is no socket.
        OSError: it cannot be looked at.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise Refused("socket-unusable", f'cannot listen at "{path}": it exists and is no socket; move it away')
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, short_path(path) as name:
        probe.setblocking(False)
        try:
            probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # its queue of connections is full: somebody listens
        pid, _ = peer(probe)
    if is_manager(pid):
        message = f'systemd listens at "{path}" for its own daemon; start that one, or stop the socket unit'
        raise Refused("socket-taken", message, detail={"pid": pid})
    raise Refused("socket-taken", f'another daemon (pid {pid}) answers at "{path}"', detail={"pid": pid})


def peer(sock: Any) -> tuple[int, int]:
    """Return (pid, uid) of the other end, as the kernel noted them."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid
