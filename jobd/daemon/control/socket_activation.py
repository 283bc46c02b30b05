"""Sockets that systemd listens on for the daemon and passes to it at its start (sd_listen_fds(3), jobd.socket)."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from jobd.daemon.control.listen import BACKLOG, check_free
from jobd.errors import Refused
from jobd.exits import Exit
from jobd.protocol.control import STATUS_SOCKET, encode_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jobd.errors import JobdError

_FIRST = 3
"""The number of the first passed descriptor (sd-daemon.h, SD_LISTEN_FDS_START)."""


class PassedSockets:
    """What was passed, by path. The files stay systemd's: they are neither made, changed nor removed here."""

    def __init__(self, sockets: Sequence[socket.socket] = ()) -> None:
        self._by_place = {os.path.realpath(sock.getsockname()): sock for sock in sockets}

    def at(self, path: Path) -> socket.socket | None:
        """Return the socket that listens at `path`; None when that one is to be made."""
        return self._by_place.get(os.path.realpath(path))

    def check(self, main: Path, *, status_too: bool) -> None:
        """See that what was passed is what the file names, and that a `main` of our own would be free.

        Raises:
            Refused: a socket was passed that nobody would ever be answered on, or another daemon answers at `main`.
        """
        own = [main, main.with_name(STATUS_SOCKET)] if status_too else [main]
        known = {os.path.realpath(path) for path in own}
        if strange := sorted(self._by_place.keys() - known):
            raise Refused(
                "socket-unknown",
                f'the socket unit passes "{strange[0]}", and the daemon\'s own are {", ".join(sorted(known))}; '
                "make ListenStream= and `socket` in [daemon] the same (status.sock needs status_group)",
                exit_code=Exit.CONFIG,
            )
        if self.at(main) is None:
            with contextlib.suppress(OSError):  # whoever listens there later says what is wrong
                check_free(main)

    def refuse_waiting(self, error: JobdError) -> None:
        """Tell everybody who waits why the daemon does not start.

        A connection left waiting would have systemd start it again at once, and again, until it gives the socket up.
        """
        line = encode_error(None, error)
        for sock in self._by_place.values():
            with contextlib.suppress(OSError):
                for _ in range(BACKLOG):
                    client, _address = sock.accept()
                    with client, contextlib.suppress(OSError):
                        client.setblocking(False)
                        client.send(line)
                        # What it asked must be read: closing over unread bytes would throw the answer away.
                        client.shutdown(socket.SHUT_WR)
                        client.recv(BACKLOG * 1024)


def take_passed(env: Mapping[str, str]) -> PassedSockets:
    """Return the sockets passed to this process, ready to accept; children do not inherit them.

    Raises:
        Refused: one is no listening Unix stream socket.
    """
    count = env.get("LISTEN_FDS", "")
    if env.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return PassedSockets()
    return PassedSockets([_taken(fd) for fd in range(_FIRST, _FIRST + int(count))])


def _taken(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise _unusable(fd) from error
    if sock.family != socket.AF_UNIX or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise _unusable(fd)
    sock.setblocking(False)
    # Again: from now on clients are told our pid as the listener's and not systemd's (SO_PEERCRED, unix(7)).
    sock.listen(BACKLOG)
    return sock


def _unusable(fd: int) -> Refused:
    message = (
        f"descriptor {fd} of LISTEN_FDS is no listening Unix socket; in the socket unit: ListenStream=/PATH, no Accept="
    )
    return Refused("socket-unusable", message, exit_code=Exit.CONFIG)
