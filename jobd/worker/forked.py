"""What a process that a handler forked does not share with its worker: connections, loop, signals, the way back.

A handler may fork (os.fork, multiprocessing). A child that caught TERM, as its worker does, could not be terminated
(multiprocessing.Pool waited for it for ever). A copy of a blocked connection, held open by a child that outlives the
worker, would go on taking markers inside Redis and keep the next jobs waiting; a child that returned from the handler
would report on the worker's board and read the worker's replies.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from functools import cache
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from jobd.worker.child import hold_signals, release_signals

if TYPE_CHECKING:
    from collections.abc import Iterable


class Private(Protocol):
    """Something with a descriptor of the worker's own."""

    def fileno(self) -> int:
        """Return the descriptor, -1 when there is none at the moment."""
        ...


_private: WeakSet[Private] = WeakSet()
_is_child = threading.Event()
_held = threading.local()


def withhold(*things: Private) -> None:
    """From now on processes that handlers fork get /dev/null in place of these descriptors."""
    _watch_forks()
    _private.update(things)


@cache
def _watch_forks() -> None:
    # Once in a process: a second `_hold` would remember the held signals as those to go back to.
    os.register_at_fork(before=_hold, after_in_parent=_resume, after_in_child=_part)


def end_if_child(error: BaseException | None) -> None:
    """End this process when it is not the worker but a child that a handler forked and that came back from it.

    `error` is what the handler raised there; it is printed.
    """
    if not _is_child.is_set():
        return
    if error is not None:
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(0 if error is None else 1)


def _hold() -> None:
    # A TERM that came to the child before `release_signals` would be caught and forgotten.
    _held.before = hold_signals()


def _resume() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.before)


def _part() -> None:
    _is_child.set()
    _replace(thing.fileno() for thing in list(_private))
    release_signals()
    _resume()


def _replace(fds: Iterable[int]) -> None:
    # Not closed: the objects live on in the child, and would some day close a number that means something else then.
    null = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        if fd >= 0:
            os.dup2(null, fd, inheritable=False)
    os.close(null)
