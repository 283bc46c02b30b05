"""How long a worker waits before it tries Redis again."""

from __future__ import annotations

from jobd.errors import JobdError, RedisRefused

RECONNECT_S = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Pauses between tries to reach Redis, the last one repeated: it must be back at work 2 s after Redis is."""

REFUSED_S = 1.0
"""Pause before a Redis that answers is asked again, when it refused every turn since the last that worked."""


class Patience:
    """Counts what failed since the last turn that worked."""

    def __init__(self) -> None:
        self._tries = 0
        self._refusals = 0

    def worked(self) -> None:
        """Start anew: a turn was answered."""
        self._tries = self._refusals = 0

    def failed(self, error: JobdError) -> None:
        """Take note of why a turn was not."""
        self._refusals += isinstance(error, RedisRefused)

    def next_s(self) -> float:
        """Return how long to wait before the next try."""
        if self._refusals > 1:
            return REFUSED_S
        self._tries += 1
        return RECONNECT_S[min(self._tries, len(RECONNECT_S)) - 1]
