"""Signals to the daemon: a handler notes what came and wakes the loop, which then decides and says so."""

from __future__ import annotations

import asyncio
import os
import signal
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

from jobd.daemon.logs import event_log

if TYPE_CHECKING:
    from collections.abc import Callable

_log = event_log(__name__)


class Wish(Enum):
    """What a signal asks for (README.md, "Commands, exit codes, signals")."""

    STOP = auto()
    HAND_BACK = auto()
    """Stop without waiting: what runs goes back to its queue."""
    KILL = auto()
    """Kill what is left and exit; the next start recovers its jobs."""
    RELOAD = auto()
    QUIET = auto()
    UNQUIET = auto()
    STACKS = auto()


class Interrupts:
    """Counts Ctrl-C: the first stops, the second hands back, the third kills."""

    def __init__(self) -> None:
        self._count = 0

    def next(self) -> Wish:
        """Return what one more of them asks for."""
        self._count += 1
        return (Wish.STOP, Wish.HAND_BACK, Wish.KILL)[min(self._count, 3) - 1]


class Signals:
    """Turns signals into calls of `on_wish` on the loop, in the order in which they came."""

    def __init__(self, on_wish: Callable[[Wish], None], *, stdin_is_terminal: bool | None = None) -> None:
        self._on_wish = on_wish
        self._interrupts = Interrupts()
        on_terminal = os.isatty(0) if stdin_is_terminal is None else stdin_is_terminal
        self._numbers = handled_signals(stdin_is_terminal=on_terminal)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Handle the signals from now on."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        for number in self._numbers:
            # asyncio's own handler writes one byte to the loop's wakeup socket; this runs on the loop afterwards.
            self._loop.add_signal_handler(number, self._came, number)

    def stop(self) -> None:
        """Let them do nothing from now on: the process ends, and one more of them must not change its exit code."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        # Kept back meanwhile: removing a handler brings back the default, which would end the process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        for number in self._numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _came(self, number: signal.Signals) -> None:
        wish = self._interrupts.next() if number == signal.SIGINT else wish_of(number)
        if wish is not None:
            _log.info(_told(wish), signal=number.name)
            self._on_wish(wish)


def handled_signals(*, stdin_is_terminal: bool) -> tuple[signal.Signals, ...]:
    """Return the signals that are handled; on a terminal Ctrl-Z keeps its usual meaning."""
    always = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN)
    return always if stdin_is_terminal else (*always, signal.SIGTSTP, signal.SIGCONT)


def wish_of(number: signal.Signals) -> Wish | None:
    """Return what a signal other than INT asks for, None for one that means nothing."""
    return {
        signal.SIGTERM: Wish.STOP,
        signal.SIGQUIT: Wish.HAND_BACK,
        signal.SIGHUP: Wish.RELOAD,
        signal.SIGTSTP: Wish.QUIET,
        signal.SIGCONT: Wish.UNQUIET,
        signal.SIGTTIN: Wish.STACKS,
    }.get(number)


def _told(wish: Wish) -> str:
    match wish:
        case Wish.STOP:
            return "stopping: waiting for running jobs until grace"
        case Wish.HAND_BACK:
            return "stopping now: running jobs go back to their queues"
        case Wish.KILL:
            return "killing: the next start recovers what runs"
        case Wish.RELOAD:
            return "reloading"
        case Wish.QUIET:
            return "quiet: taking no new jobs on this host"
        case Wish.UNQUIET:
            return "taking jobs again on this host"
        case Wish.STACKS:
            return "writing the stacks of all workers"
        case _:
            assert_never(wish)
