"""Become the embedded Redis server: `python exec_server.py PARENT LOCKFILE SERVER ARG…`; imports nothing of jobd.

The server ends when the daemon does (PDEATHSIG stays through exec), and holds a lock on its data folder: a daemon that
was killed left its server behind once, and a second one wrote into the same append-only file. Under that lock the files
are looked over: a server begins empty, and writes over what is there, when only the list of its files is gone.
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

EXIT_DAMAGED = os.EX_DATAERR
"""A server would not read the files that are there; a line says why."""

SAYS = "jobd: "
"""What a line of this program begins with, in the output that will be the server's."""

_FILES = "appendonlydir"
_BLOCK = 4096

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
    if not _looked_over(os.path.join(os.path.dirname(lock_path), _FILES)):  # noqa: PTH118, PTH120 - pathlib costs 10 ms
        return EXIT_DAMAGED
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


def _looked_over(folder: str) -> bool:
    """Return whether a server would read the files of this folder; the newest loses zero bytes at its end."""
    try:
        sizes = {each.name: each.stat().st_size for each in os.scandir(folder)}
    except OSError:
        return True  # there is none yet; what else it is, the server says
    manifest = "appendonly.aof.manifest"
    parts = sorted(name for name in sizes if sizes[name] and name.startswith("appendonly.aof.") and name != manifest)
    if parts and manifest not in sizes:
        _say(
            f"{folder}/{manifest} is missing: the server would begin empty and write over "
            f"{', '.join(parts)}; put it back from a backup, or move {folder} away to begin empty"
        )
        return False
    newest = max((name for name in parts if name.endswith(".incr.aof")), key=_sequence, default=None)
    if newest is not None:
        _cut_zeros(f"{folder}/{newest}")
    return True


def _sequence(name: str) -> int:
    """Return 7 of appendonly.aof.7.incr.aof."""
    number = name.split(".")[-3]
    return int(number) if number.isdecimal() else -1


def _cut_zeros(path: str) -> None:
    """A power cut may leave a file longer than what reached the disk: zeros, which the server refuses to read.

    No command ends in one, so nothing that was written whole is lost.
    """
    with open(path, "r+b") as file:  # noqa: PTH123 - as above
        size = end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            kept = file.read(end - begin).rstrip(b"\0")
            end = begin + len(kept)
            if kept:
                break
        if end < size:
            file.truncate(end)
            _say(f"{size - end} zero bytes at the end of {path} are cut off: a power cut leaves such")


def _say(line: str) -> None:
    print(f"{SAYS}{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
