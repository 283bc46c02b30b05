"""Become the embedded Redis server: `python exec_server.py PARENT LOCKFILE SERVER ARG…`; imports nothing of jobd.

The server ends when the daemon does (PDEATHSIG stays through exec), and holds a lock on its data folder: a daemon that
was killed left its server behind once, and a second one wrote into the same append-only file.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

EXIT_LOCKED = 75
"""Another server holds the data folder and does not end."""

_LOCK_WAIT_S = 10.0
"""A server whose daemon was killed got SIGTERM at that moment; writing out what is left takes it a moment."""


def main(arguments: list[str]) -> int:
    """Replace this process by the server; return only when that failed."""
    parent, lock_path, *command = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        return 0  # the daemon ended before the kernel was told
    os.umask(0o077)
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock):
        return EXIT_LOCKED
    os.set_inheritable(lock, True)
    return os.execv(command[0], command)  # noqa: S606 - argv as given, no shell


def _locked(fd: int) -> bool:
    end = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        else:
            return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
