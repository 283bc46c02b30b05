"""What a process leaves behind after a fork: the template's child that becomes a worker, and a handler's own child.

The worker leaves nothing of the template behind, and nothing of itself. A handler may fork too (os.fork,
multiprocessing); such a child does not share with its worker: connections, loop, signals, the way back. A child that
caught TERM, as its worker does, could not be terminated (multiprocessing.Pool waited for it for ever). A copy of a
blocked connection, held open by a child that outlives the worker, would go on taking markers inside Redis and keep the
next jobs waiting; a child that returned from the handler would report on the worker's board and read its replies.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from jobd.protocol.worker import STACKS_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_OOM_SCORE = "500"
"""Of 1000: the kernel ends a worker, which is replaced, before the daemon or a Redis beside it."""

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_libc = ctypes.CDLL(None, use_errno=True)


def fork() -> int:
    """As os.fork, with nothing buffered that both processes would write."""
    flush_streams()
    return os.fork()


def flush_streams() -> None:
    """Write out what is buffered in stdout and stderr, as far as there are such: the application may replace them."""
    for stream in (sys.stdout, sys.stderr):
        # None, closed, or an object of the application's own whose `flush` is missing or raises what it likes.
        with contextlib.suppress(BaseException):
            stream.flush()


def report_crash(error: BaseException) -> None:
    """Print an exception with its traceback where the daemon reads it, whatever `sys.stderr` is by now."""
    with contextlib.suppress(OSError):
        os.write(2, "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace"))


def die_with(parent: int) -> None:
    """End with SIGKILL when the parent does; at once when it is gone already.

    The signal comes when the *thread* that forked ends (prctl(2)): parents fork from their main thread.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def catch_signals() -> None:
    """Catch TERM, INT and HUP without effect. Ignored signals would be inherited by programs that handlers start."""
    for number in _HANDLED:
        signal.signal(number, _nothing)


def release_signals() -> None:
    """Undo `catch_signals` where nobody set a handler since: in a process that a handler forked, TERM ends it."""
    for number in _HANDLED:
        if signal.getsignal(number) is _nothing:
            signal.signal(number, signal.SIG_DFL)


def hold_signals() -> set[int | signal.Signals]:
    """Keep TERM, INT and HUP from this thread; return what was kept from it before."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


def set_title(title: str, name: str) -> None:
    """Let `ps` show what this process is: its whole line where setproctitle is installed, else the first 15 bytes of
    `name`, which `ps -o comm`, `top` and `pstree` show."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    setproctitle = sys.modules.get("setproctitle")
    if setproctitle is not None:
        setproctitle.setproctitle(title)


def settle_in(parent: int, output: int) -> None:
    """Make a forked process a worker: own session, own signals, stdin empty, stdout and stderr into `output`."""
    os.setsid()
    die_with(parent)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    catch_signals()
    _redirect(output)
    # A death in C says which line of the handler led there; into the pipe, whatever `sys.stderr` is by then.
    faulthandler.enable(file=2, all_threads=True)
    # A worker whose loop does not turn cannot be asked any other way. Into the pipe, not into a replaced stream.
    faulthandler.register(STACKS_SIGNAL, file=2, all_threads=True)
    _raise_oom_score()
    gc.enable()
    _reseed()


def _nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


def _redirect(output: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        # Before the descriptors change: a stream made on a file would seek, which a pipe cannot.
        # A handler that prints odd text must not fail for it, and lines must be out before a crash.
        # A stream that was replaced at import has no such thing, or is closed: it stays as the application made it.
        with contextlib.suppress(Exception):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for fd in {null, output}:
        if fd > 2:
            os.close(fd)


def _raise_oom_score() -> None:
    # Refused in some sandboxes, and then no reason not to work.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _reseed() -> None:
    """Give numpy's global generator a state of its own; `random` does so by itself after a fork."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        numpy.random.seed()


# --- what a handler forks --------------------------------------------------------------------------------------------


class Private(Protocol):
    """Something with a descriptor of the worker's own."""

    def fileno(self) -> int:
        """Return the descriptor, -1 when there is none at the moment."""
        ...


_private: WeakSet[Private] = WeakSet()
_child: list[None] = []
"""Not empty in a process that a handler forked."""
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
    if not _child:  # for each job: a truth of a list costs nothing
        return
    if error is not None:
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
    flush_streams()
    os._exit(0 if error is None else 1)


def _hold() -> None:
    # A TERM that came to the child before `release_signals` would be caught and forgotten.
    _held.before = hold_signals()


def _resume() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.before)


def _part() -> None:
    _child.append(None)
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
