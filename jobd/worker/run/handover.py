"""How runs get from the loop to the threads that serve them, and back, with few changes of thread.

A change of thread costs more than most jobs. So a thread goes on with what waits, and tells the loop of all that is
through when nothing does. It wakes another thread meanwhile, which takes over as soon as a handler waits for something;
while handlers are quick not even that, and the loop looks after LOOK_S whether one was not.
(No-op jobs in 10 slots: 0.9 futex calls a job, not 2.2; at best a sixth less CPU and a sixth more jobs a second.)
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")

QUICK_S = 100e-6
"""Runs shorter than that are over before another thread would have begun."""

LOOK_S = 0.001
"""How long a run may wait for a thread whose handler was expected to be quick."""


class Handover(Generic[T]):
    """`put` and `collect` belong to the loop's thread, `next` and `through` to those that serve.

    There must be a thread for every run that waits, is served, or is through and not collected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, collect: Callable[[deque[T]], bool]) -> None:
        """`collect` empties what is through, on the loop; returns whether most of it was shorter than QUICK_S."""
        self._loop = loop
        self._collect = collect
        self._waiting: deque[T | None] = deque()
        self._through: deque[T] = deque()
        self._told = False
        """Whether the loop is about to collect."""
        self._bell = threading.Lock()
        self._bell.acquire()
        self._rung = False
        """Whether a thread is on its way that had nothing to do."""
        self._quick = False
        """Whether runs are quick. Then `_look` is set while any waits, and it takes no other thread to go on."""
        self._look: asyncio.TimerHandle | None = None

    def put(self, run: T | None) -> None:
        """Let a thread serve this; None lets one return once nothing waits before it."""
        self._waiting.append(run)
        self._ring()
        self._look_later()

    def next(self) -> T | None:
        """Return what to serve, once there is something.

        For whatever waits some thread was woken: it serves it, or finds that another has taken it and tells the loop
        of what that other left untold.
        """
        while True:
            try:
                run = self._waiting.popleft()
            except IndexError:
                self._tell()
                self._bell.acquire()
                self._rung = False
                continue
            if self._waiting and (run is None or not self._quick):
                self._ring()
            return run

    def through(self, run: T) -> None:
        """Note that a run is through; the loop is told by the next call of `next`, here or in another thread."""
        self._through.append(run)

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            with contextlib.suppress(RuntimeError):  # two threads rang at once
                self._bell.release()

    def _tell(self) -> None:
        if self._through and not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        # Cleared first: a thread that is through from here on tells again.
        self._told = False
        if self._through:
            self._quick = self._collect(self._through)
            self._look_later()

    def _look_later(self) -> None:
        if self._quick and self._waiting and self._look is None:
            self._look = self._loop.call_later(LOOK_S, self._look_now)

    def _look_now(self) -> None:
        """Go on without the thread that was to take what waits: its handler is not as quick as those before."""
        self._look = None
        if self._waiting:
            self._quick = False
            self._ring()
        self._take()
