"""What a process does between fork and its first work: leave nothing of the template behind, and nothing of itself."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"
"""Of 1000: the kernel ends a worker, which is replaced, before the daemon or a Redis beside it."""

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_libc = ctypes.CDLL(None, use_errno=True)


def fork() -> int:
    """As os.fork, with nothing buffered that both processes would write."""
    sys.stdout.flush()
    sys.stderr.flush()
    return os.fork()


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


def settle_in(parent: int, output: int) -> None:
    """Make a forked process a worker: own session, own signals, stdin empty, stdout and stderr into `output`."""
    os.setsid()
    die_with(parent)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    catch_signals()
    _redirect(output)
    _raise_oom_score()
    gc.enable()
    _reseed()


def _nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


def _redirect(output: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # Before the descriptors change: a stream made on a file would seek, which a pipe cannot.
            # A handler that prints odd text must not fail for it, and lines must be out before a crash.
            reconfigure(line_buffering=True, errors="backslashreplace")
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
