"""BullMQ's own metrics: how many jobs completed or failed in each minute.

docs/wire-format.md, "Keys".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from jobd.engine.runner import Command, Word
from jobd.engine.scripts import script
from jobd.engine.turn import encode_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys

_MINUTES = 360
_MINUTE_MS = 60_000

_SOURCE_MS = 3_600_000
"""How long it is remembered what a source has added: a source without an answer asks again long before."""


class Finals(NamedTuple):
    """Jobs that ended for good: none of them runs again by itself."""

    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The hash of a metric: jobs since it began, when its last minute was closed (ms), and how many there were then."""

    count: int
    at: int
    before: int


def count_finals(keys: Keys, source: str, now: Finals, known: Finals, *, at_ms: int, most: int) -> Command[None]:
    """Add what `source` has seen end since `known` to the metrics of the minute of `at_ms`, as BullMQ's workers do.

    Args:
        source: who counts; its totals only rise.
        now: its totals.
        known: the totals of its last call that was answered.
        most: minutes kept, at least 1.
    Safe to send twice: the total is added once.
    """
    heads = [keys.metrics("completed"), keys.metrics("failed")]
    words: tuple[Word, ...] = (
        4, heads[0], f"{heads[0]}:data", heads[1], f"{heads[1]}:data",
        at_ms, most, source, _SOURCE_MS, now.completed, known.completed, now.failed, known.failed,
    )  # fmt: skip
    return Command(words, lambda reply: None, script("count_finals"))


def ended_as(keys: Keys, job_id: str, attempt: int) -> Command[str | None]:
    """Tell what a job's `attempt` (its ats) ended as: "completed", "failed", "gone" (the job was deleted), or None."""

    def read(reply: Any) -> str | None:
        ats, finished, result = reply
        if ats is None:
            return "gone"
        if finished is None or ats != b"%d" % attempt:
            return None
        return "failed" if result is None else "completed"

    words = ("HMGET", encode_id(keys.job(job_id)), "ats", "finishedOn", "returnvalue")
    return Command(words, read)


def metric_head(keys: Keys, state: str) -> Command[Head | None]:
    """Read the hash of "completed" or "failed"; None where nobody counts."""

    def read(reply: Any) -> Head | None:
        count, at, before = (_number(item) for item in reply)
        return None if count is None or at is None else Head(count, at, before or 0)

    return Command(("HMGET", keys.metrics(state), "count", "prevTS", "prevCount"), read)


def metric_minutes(keys: Keys, state: str, start: int = 0, stop: int = _MINUTES - 1) -> Command[list[int]]:
    """Read the closed minutes, the latest first: those from `start` to `stop`, both included."""
    words = ("LRANGE", keys.metrics(state) + ":data", start, stop)
    return Command(words, lambda reply: [_number(item) or 0 for item in reply])


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
