"""Descriptors 0, 1 and 2 stay what the daemon gave the worker, whatever a handler closes.

A handler that closes stdout (`sys.stdout.close()`, code that daemonizes) would fail every job after it that prints; and
the next connection to Redis would get the number 1, so that what a job prints became commands.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys

from jobd.worker.worker_log import log

_FIRST = 3
"""Copies get numbers from here on, never one of the three."""

_copies: dict[int, int] = {}
"""{0, 1 and 2: a copy of it, which programs that handlers start do not inherit}"""


def keep() -> None:
    """Remember what the three are now, for `mend`. Once in a process."""
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):  # `setup` closed it: the application does not want it
            _copies[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST)


def mend() -> None:
    """Open again what was closed since `keep`; about a microsecond when nothing was.

    Behind handlers in threads it is called when they end, for async ones with each beat of the fetch loop.
    """
    for number, copy in _copies.items():
        try:
            # Unlike fstat it keeps the GIL: given away, a thread with a handler may hold it for long.
            os.get_inheritable(number)
        except OSError:
            _open_again(number, copy)
    for number, name in ((1, "stdout"), (2, "stderr")):
        # Closed apart from its descriptor: Python leaves that open.
        if getattr(getattr(sys, name), "closed", False) is True and number in _copies:
            _new_stream(number, name)


def _open_again(number: int, copy: int) -> None:
    with contextlib.suppress(OSError):  # the copy was closed, too: there is nothing to open
        os.dup2(copy, number)
        log.warning("descriptor %d was closed by a handler: opened again", number)


def _new_stream(number: int, name: str) -> None:
    fresh = open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    setattr(sys, name, fresh)
    setattr(sys, f"__{name}__", fresh)
    log.warning("sys.%s was closed by a handler: opened again", name)
