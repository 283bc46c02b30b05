"""Turns on their way: the one in flight, and the one that waits in Redis behind the wait for a marker."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jobd.engine.runner import Command
    from jobd.protocol.board import BoardWriter
    from jobd.worker.run.attempt import Attempt


@dataclass(slots=True)
class Flight:
    """A turn, or notes alone, on their way; `begun` gets the raw replies."""

    runs: list[Attempt]
    take: int
    sent_at: float
    commands: list[Command[Any]]
    begun: Awaitable[list[Any]]


class Ahead:
    """At most one turn behind the wait; `take` is how many jobs it may bring, 0 while none waits.

    It may run at any moment, and then its jobs are held by this worker and shown nowhere. So the board says that a turn
    is in flight, sent at the last beat: while the loop beats the reply is read at once, and once it does not, the
    daemon finds the locks by their prefix.
    """

    def __init__(self, board: BoardWriter) -> None:
        self.take = 0
        self._board = board
        self._since = 0.0

    def sent(self, take: int) -> None:
        """Note that it is on its way."""
        self.take = take
        self._show(time.monotonic())

    def beat(self, now: float) -> None:
        """Note that the loop turned and has read all there was to read."""
        if self.take:
            self._show(now)

    def landed(self) -> tuple[int, float]:
        """Return how many jobs it could bring, and since when (monotonic) its reply may have lain unread."""
        take, self.take = self.take, 0
        self._board.turn_sent(0.0)
        return take, self._since

    def _show(self, now: float) -> None:
        self._since = now
        self._board.turn_sent(now)
