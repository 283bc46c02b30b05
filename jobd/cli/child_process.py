"""Go on in a child process, so that somebody is left to say it when user code ends the process it runs in.

`os._exit`, a signal or a crash in C gives nobody in the same process the chance to say which module or handler it was.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal

from jobd.worker import forks

_OVER = b"\1"
_PASSED_ON = {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP}
_SI_KERNEL = 0x80
"""sigaction(2): the kernel itself sent the signal, as the driver of a terminal does."""

_GROUP_S = 1.0
"""A child that was interrupted together with this process ends within that; a second interrupt would break its end."""


class Doing:
    """What the child is doing, read by its parent after its end."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def begins(self, what: str = "") -> None:
        """The child begins something; without a name what it does by itself."""
        name = what.encode()[: len(self._page) - 2]
        self._page[1 : len(name) + 2] = name + b"\0"

    def is_over(self) -> None:
        """The child has told how it ended; what is left is to end."""
        self._page[0:1] = _OVER

    @property
    def over(self) -> bool:
        """Whether it came that far."""
        return self._page[0:1] == _OVER

    @property
    def what(self) -> str:
        """What it began last."""
        return self._page[1:].partition(b"\0")[0].decode(errors="replace")


def go_on_in_child() -> int | None:
    """Return None in a child process that does what is left to do, and its wait status here, when it has ended.

    Terminal and stdin are the child's as they were ours. What is typed there reaches both and is its business; a signal
    sent to this process is passed on. One that ends the child that way ends this process, too.
    """
    # An inherited "ignore" would take the child's status along.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    parent = os.getpid()
    pid = forks.fork()
    if pid == 0:
        forks.die_with(parent)
        faulthandler.enable(file=2)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    status, received = _wait(pid)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in received:
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(parent, os.WTERMSIG(status))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return status


def _wait(pid: int) -> tuple[int, set[int]]:
    """Return the child's wait status and the signals that came meanwhile; they are passed on to it."""
    received: set[int] = set()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status, received
        came = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if came.si_signo == signal.SIGCHLD:
            continue
        received.add(came.si_signo)
        # From the terminal it has come to the child as well, and a second Ctrl-C means something else.
        if came.si_code == _SI_KERNEL:
            continue
        if came.si_signo == signal.SIGINT:
            signal.sigtimedwait({signal.SIGCHLD}, _GROUP_S)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status, received
        os.kill(pid, came.si_signo)
