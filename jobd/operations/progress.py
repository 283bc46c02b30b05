"""How a long change tells how far it is: lines "done/total" to whoever asked, at most a few a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobd.engine.bulk import Tally
    from jobd.operations.operation import Caller

_EVERY_S = 0.25


class Told:
    """Called after each step of a piece of work; what is over within one pause says nothing."""

    def __init__(self, caller: Caller, tally: Tally, total: int) -> None:
        self._caller = caller
        self._tally = tally
        self._total = total
        self._next = time.monotonic() + _EVERY_S

    def __call__(self) -> None:
        """Tell how far it is, when it is time for that."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_S
            done = self._tally.done + self._tally.gone + self._tally.skipped
            self._caller.progress(f"{done}/{max(done, self._total)}")
