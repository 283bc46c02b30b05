"""How runs get from the loop to the threads that serve them, and back, with few changes of thread.

A change of thread costs more than most jobs. So a thread goes on with what waits, and tells the loop of all that is
through when nothing does. It wakes another thread meanwhile, which takes over as soon as a handler waits for something;
while handlers are quick not even that, and the loop looks after LOOK_S whether one was not.

While they have been quick for long, the loop itself waits for the thread, on a lock and no longer than WAIT_S: else an
answer of Redis wakes it in the middle, and the two threads ask each other for the GIL. Everything else that the loop
has to do is late by that much at most. docs/decisions/0027 has the measurements.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

T = TypeVar("T")

QUICK_S = 100e-6
"""Runs shorter than that are over before another thread would have begun."""

LOOK_S = 0.001
"""How long a run may wait for a thread whose handler was expected to be quick."""

WAIT_S = 300e-6
"""Longest wait of the loop for quick runs: ten of them take half of that, and nothing on the loop is due so exactly."""

QUICK_IN_A_ROW = 64
"""So many runs, each of them quick, before the loop waits; a wait in vain costs WAIT_S, and counting begins anew."""


class Handover(Generic[T]):
    """`runs` belongs to the threads that serve, all else to the loop's.

    There must be a thread for every run that waits, is served, or is through and not collected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, collect: Callable[[deque[T]], tuple[int, int]]) -> None:
        """`collect` empties what is through, on the loop; returns how many were shorter than QUICK_S, how many not."""
        self._loop = loop
        self._collect = collect
        self._waiting: deque[T | None] = deque()
        self._through: deque[T] = deque()
        self._told = False
        """Whether the loop is about to collect."""
        self._idle: list[threading.Lock] = []
        """A bell for each thread with nothing to do. The last is rung first: what that thread needs is in caches."""
        self._rung = False
        """Whether a thread is on its way that had nothing to do."""
        self._quick = False
        """Whether runs are quick. Then `_look` is set while any waits, and it takes no other thread to go on."""
        self._look: asyncio.TimerHandle | None = None
        self._in_a_row = 0
        """How many runs were quick since one was not."""
        self._asked = _locked()
        """Open while the loop waits. A thread that gets it owes `_answer`; the loop that gets it back waits no more."""
        self._answer = _locked()

    def put(self, run: T | None) -> None:
        """Have this served after the next `go`, or sooner; None lets a thread return once nothing waits before it."""
        self._waiting.append(run)

    def go(self) -> None:
        """Let threads serve what waits."""
        if self._waiting:
            self._ring()
            self._look_later()

    def go_and_wait(self) -> None:
        """The same; while runs are quick, wait until they are through, and collect them."""
        # Whoever has told does not tell again before the loop has collected, and that would be waited for in vain.
        if self._in_a_row < QUICK_IN_A_ROW or self._told or not self._waiting:
            self.go()
            return
        self._asked.release()
        # Last of all: a thread that is awake before the loop waits would have to ask for the GIL.
        self._ring()
        if not self._answer.acquire(timeout=WAIT_S):
            if self._asked.acquire(blocking=False):
                self._in_a_row = 0
                self._quick = False
                if self._waiting:
                    self._ring()
            else:
                self._answer.acquire()  # on its way
        self._take()

    def runs(self) -> Iterator[T]:
        """Yield what this thread is to serve, one after another, until there is a None; what was yielded is through.

        For whatever waits some thread was woken: it serves it, or finds that another has taken it and tells the loop
        of what that other left untold.
        """
        bell = _locked()
        while True:
            try:
                run = self._waiting.popleft()
            except IndexError:
                self._rest(bell)
                continue
            if self._waiting and (run is None or not self._quick):
                self._ring()
            if run is None:
                return
            yield run
            self._through.append(run)
            # Dropped before the rest: a finished job's data must not stay alive as long as the thread is idle.
            del run

    def _rest(self, bell: threading.Lock) -> None:
        """Sleep until rung for; tell the loop of what is through before."""
        self._idle.append(bell)
        if self._waiting:
            self._ring()  # for what came when this thread was not idle yet
        elif self._through and not self._told:
            self._tell()
        bell.acquire()
        # Before a look at what waits: whatever comes after that look rings again.
        self._rung = False

    def _ring(self) -> None:
        if self._rung:
            return
        try:
            bell = self._idle.pop()
        except IndexError:
            return  # each looks at what waits before it rests
        self._rung = True
        bell.release()

    def _tell(self) -> None:
        self._told = True
        if self._asked.acquire(blocking=False):
            self._answer.release()
        else:
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        # Cleared first: a thread that is through from here on tells again.
        self._told = False
        if self._through:
            quick, slow = self._collect(self._through)
            self._quick = quick > slow
            self._in_a_row = 0 if slow else self._in_a_row + quick
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


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
