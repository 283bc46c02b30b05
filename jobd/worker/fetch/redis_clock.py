"""How far this machine's clock is ahead of Redis': a turn that waits in Redis must still go by ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from jobd.worker.fetch.connection import Wire

ASK_EVERY_S = 60.0
"""Clocks that are kept drift by less than a millisecond in that time."""

STEP_S = 0.005
"""A wall clock that moved this much against the monotonic one was set: ask again at once."""


class RedisClock:
    """The difference of two clocks. `ahead_ms` is None until Redis told its time, or where it may not be asked."""

    def __init__(self) -> None:
        self.ahead_ms: int | None = None
        self._asked_at = 0.0
        self._offset_s = 0.0

    async def follow(self, wire: Wire) -> None:
        """Ask when the answer is old or a clock was set; else return at once.

        Raises:
            RedisUnavailable: the connection broke.
        """
        now = time.monotonic()
        offset = time.time() - now
        if self._asked_at and now - self._asked_at < ASK_EVERY_S and abs(offset - self._offset_s) < STEP_S:
            return
        before = time.time()
        (reply,) = await wire.words(("TIME",))
        after = time.time()
        self._asked_at, self._offset_s = now, offset
        self.ahead_ms = None
        if not isinstance(reply, RedisError):
            redis_ms = int(reply[0]) * 1000 + int(reply[1]) / 1000
            self.ahead_ms = round((before + after) * 500 - redis_ms)
