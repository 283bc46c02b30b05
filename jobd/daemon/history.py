"""What the queues of this host did in the last hours: a ring of minutes for each, in memory only.

Bounded: 6 hours take 6 kB a queue. A daemon that starts anew starts with nothing; numbers for longer are what
`[daemon] http` is for.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.operations.documents.history import QueueHistory

MINUTES = 360
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A queue at one moment. `done` and `failed` count since the daemon's start; None: Redis could not be asked."""

    queue: str
    done: int
    failed: int
    waiting: int | None
    oldest_s: float | None


class History:
    """The rings, by queue."""

    def __init__(self) -> None:
        self._rings: dict[str, _Ring] = {}

    def note(self, samples: Iterable[Sample], now_ms: int) -> None:
        """Take a look at every queue; one that is not among them is forgotten."""
        found = {sample.queue: sample for sample in samples}
        self._rings = {name: self._rings.get(name) or _Ring(now_ms // _MINUTE_MS) for name in found}
        for name, ring in self._rings.items():
            ring.note(found[name], now_ms // _MINUTE_MS)

    def of(self, queues: Iterable[str] | None) -> dict[str, QueueHistory]:
        """Return {queue: its minutes} for those of these queues (None: all) that are known."""
        wanted = None if queues is None else set(queues)
        return {name: ring.document(name) for name, ring in self._rings.items() if wanted is None or name in wanted}


class _Ring:
    """Minutes of one queue; what was not seen is not a number."""

    def __init__(self, minute: int) -> None:
        self._first = self._last = minute
        self._set_back = 0
        """By how many minutes the clock was set back meanwhile; the ring's minutes go on."""
        self._done_before = self._failed_before = 0
        self._done, self._failed, self._waiting, self._oldest = (array("f", [math.nan]) * MINUTES for _ in range(4))
        self._open(minute)

    def note(self, sample: Sample, minute: int) -> None:
        minute += self._set_back
        if minute < self._last:
            self._set_back += self._last - minute
            minute = self._last
        for passed in range(max(self._last + 1, minute - MINUTES + 1), minute + 1):
            self._open(passed)
        self._last = minute
        at = self._last % MINUTES
        self._done[at] += sample.done - self._done_before
        self._failed[at] += sample.failed - self._failed_before
        self._done_before, self._failed_before = sample.done, sample.failed
        if sample.waiting is not None:
            self._waiting[at] = _larger(self._waiting[at], sample.waiting)
            self._oldest[at] = _larger(self._oldest[at], sample.oldest_s or 0.0)

    def document(self, name: str) -> QueueHistory:
        first = max(self._first, self._last - MINUTES + 1)
        minutes = [minute % MINUTES for minute in range(first, self._last + 1)]
        return {
            "name": name,
            "source": "daemon",
            "until": (self._last + 1 - self._set_back) * _MINUTE_MS,
            "done": [_known(self._done[at]) for at in minutes],
            "failed": [_known(self._failed[at]) for at in minutes],
            "waiting": [_known(self._waiting[at]) for at in minutes],
            "oldest_s": [_known(self._oldest[at]) for at in minutes],
        }

    def _open(self, minute: int) -> None:
        at = minute % MINUTES
        self._done[at] = self._failed[at] = 0.0
        self._waiting[at] = self._oldest[at] = math.nan


def _larger(before: float, now: float) -> float:
    return now if math.isnan(before) else max(before, now)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 1)
