"""BullMQ's own metrics: how many jobs completed or failed in each minute, where a worker keeps them.

docs/wire-format.md, "Keys".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.runner import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys

_MINUTES = 360
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Head:
    """The hash of a metric: jobs since it began, when its last minute was closed (ms), and how many there were then."""

    count: int
    at: int
    before: int


def metric_head(keys: Keys, state: str) -> Command[Head | None]:
    """Read the hash of "completed" or "failed"; None where nobody counts."""

    def read(reply: Any) -> Head | None:
        count, at, before = (_number(item) for item in reply)
        return None if count is None or at is None else Head(count, at, before or 0)

    return Command(("HMGET", keys.metrics(state), "count", "prevTS", "prevCount"), read, safe_twice=True)


def metric_minutes(keys: Keys, state: str) -> Command[list[int]]:
    """Read the closed minutes, the latest first."""
    words = ("LRANGE", keys.metrics(state) + ":data", 0, _MINUTES - 1)
    return Command(words, lambda reply: [_number(item) or 0 for item in reply], safe_twice=True)


def minutes(head: Head | None, closed: Sequence[int], now_ms: int) -> list[int]:
    """Return the counts of the last minutes, the oldest first; the last one is the minute that is under way.

    BullMQ closes a minute when the first job of a later one ends: what came after `head.at` belongs to its minute.
    """
    if head is None:
        return []
    since = max(0, min(now_ms // _MINUTE_MS - head.at // _MINUTE_MS, _MINUTES))
    return [*reversed(closed), max(head.count - head.before, 0), *[0] * since][-_MINUTES:]


def _number(item: bytes | None) -> int | None:
    try:
        return None if item is None else int(float(item))
    except (ValueError, OverflowError):
        return None
