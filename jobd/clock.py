"""Wall and monotonic time behind one interface, so that tests can move it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Wall clock, whole milliseconds since 1970: for moments that are stored in Redis."""
        ...

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC in seconds, the same in every process of this boot: for durations and the board."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Wall clock, whole milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC in seconds."""
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()
