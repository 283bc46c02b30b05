"""When a worker that died is started again, and when its queue is held back: pure rules over a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0
HEALTHY_S = 10.0
"""A worker that was ready this long has earned an immediate restart again."""


@dataclass(slots=True)
class RestartDelay:
    """The delay before the next start at one place: none the first time, then 0.5 s doubling to 30 s."""

    failures: int = 0

    def after_exit(self, ready_for_s: float, jobs_done: int = 0) -> float:
        """Return the seconds to wait after an exit of a worker that had been ready for `ready_for_s`.

        One that finished a job was of use: its death is no step of a crash loop, and the job it held need not wait.
        """
        if ready_for_s >= HEALTHY_S or jobs_done > 0:
            self.failures = 0
        self.failures += 1
        if self.failures == 1:
            return 0.0
        return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.failures - 2, 16))

    def reset(self) -> None:
        """The next exit is treated as the first."""
        self.failures = 0


@dataclass(slots=True)
class BreakerState:
    """Exits of one queue's workers; the `crashes`-th within `within_s` holds the queue."""

    exits: deque[float] = field(default_factory=deque)

    def exited(self, now: float, crashes: int, within_s: float) -> bool:
        """Count one exit; return whether the queue is held back from now on."""
        self.exits.append(now)
        while self.exits and self.exits[0] < now - within_s:
            self.exits.popleft()
        return len(self.exits) >= crashes

    def reset(self) -> None:
        """Forget the exits."""
        self.exits.clear()
