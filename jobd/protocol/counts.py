"""What a worker counts, on its board: how its runs ended, how long they took, how long jobs had waited.

The worker adds without a lock or a system call, a tenth of a microsecond each; the daemon reads at any time, also after
the worker's death. A word of eight bytes is written whole, so a reader never sees half a number; between the words of
one run it may read (a count before its duration), which the next reading mends.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of both histograms, in seconds; one more takes what is longer."""

_FIRST_BOUND_S = BOUNDS_S[0]

LABELS = 128
"""Job names that are told apart in one worker, OTHER among them; more share OTHER."""

OTHER = "other"
"""The label of every job name that has no entry under `jobs`: producers choose names, and may choose millions."""


class RunEnd(StrEnum):
    """How one run of a job ended. Each end counts once; what stands further up goes before what stands below."""

    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It was not run at all: its time had passed."""
    HANDED_BACK = "handed_back"
    """Back to its queue, the attempt not counted: a stop, or a neighbour's fault."""
    RETRIED = "retried"
    """It runs again later, whether the attempt counts or not."""
    FAILED = "failed"
    COMPLETED = "completed"


ENDS = tuple(RunEnd)
_BUCKETS = len(BOUNDS_S) + 1
_WAIT = 0
_FIRST = 32
_OF_RUNS = len(ENDS)
_SUM = _OF_RUNS + _BUCKETS
_LABEL_WORDS = _SUM + 1
_NAMES = 8 * (_FIRST + LABELS * _LABEL_WORDS)
_NAME_LENGTH = struct.Struct("<H")
_NAME_BYTES = 128
SIZE = _NAMES + LABELS * _NAME_BYTES


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most each of BOUNDS_S and no smaller bound, then those above; and their sum."""

    counts: tuple[int, ...] = (0,) * _BUCKETS
    total_s: float = 0.0

    def __add__(self, other: Histogram) -> Histogram:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.total_s + other.total_s)


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one label. `ends` has a number for each of ENDS."""

    ends: tuple[int, ...] = (0,) * len(ENDS)
    durations: Histogram = Histogram()

    def __add__(self, other: Runs) -> Runs:
        ends = tuple(a + b for a, b in zip(self.ends, other.ends, strict=True))
        return Runs(ends, self.durations + other.durations)


class _Counts:
    def __init__(self, memory: memoryview) -> None:
        """Take SIZE bytes of a board; `release` gives them back."""
        self._names = memory[_NAMES:SIZE]
        words = memory[:_NAMES]
        self._numbers = words.cast("Q")
        self._floats = words.cast("d")
        words.release()

    def release(self) -> None:
        """Let go of the memory: whoever owns it may unmap it."""
        for view in (self._names, self._numbers, self._floats):
            view.release()

    def _name(self, label: int) -> str | None:
        at = label * _NAME_BYTES
        (length,) = _NAME_LENGTH.unpack_from(self._names, at)
        if not length:
            return None
        start = at + _NAME_LENGTH.size
        return bytes(self._names[start : start + length]).decode("utf-8", "replace")


class CountsWriter(_Counts):
    """The worker's side. Used on one thread."""

    def __init__(self, memory: memoryview) -> None:
        super().__init__(memory)
        self._labels: dict[str, int] = {}
        self.label(OTHER)

    def label(self, name: str) -> int:
        """Return the number under which runs of this job name are counted, that of OTHER when there is no more room."""
        known = self._labels.get(name)
        if known is not None:
            return known
        text = name.encode("utf-8", "replace")
        if len(self._labels) == LABELS or len(text) > _NAME_BYTES - _NAME_LENGTH.size:
            return 0
        label = self._labels[name] = len(self._labels)
        start = label * _NAME_BYTES + _NAME_LENGTH.size
        self._names[start : start + len(text)] = text
        _NAME_LENGTH.pack_into(self._names, label * _NAME_BYTES, len(text))
        return label

    def ran(self, label: int, end: RunEnd, seconds: float) -> None:
        """Count a run of the handler."""
        base = _FIRST + label * _LABEL_WORDS
        numbers = self._numbers
        numbers[base + _PLACE[end]] += 1
        numbers[base + _OF_RUNS + (bisect_left(BOUNDS_S, seconds) if seconds > _FIRST_BOUND_S else 0)] += 1
        self._floats[base + _SUM] += seconds

    def ended(self, label: int, end: RunEnd) -> None:
        """Count a job whose handler was not run."""
        self._numbers[_FIRST + label * _LABEL_WORDS + _PLACE[end]] += 1

    def waited(self, seconds: float) -> None:
        """Count how long a job had been due when it first started."""
        seconds = max(0.0, seconds)  # clocks of producer and worker differ
        self._numbers[_WAIT + bisect_left(BOUNDS_S, seconds)] += 1
        self._floats[_WAIT + _BUCKETS] += seconds


_PLACE = {end: place for place, end in enumerate(ENDS)}


class CountsReader(_Counts):
    """The daemon's side."""

    def waits(self) -> Histogram:
        """Return how long jobs had waited."""
        counts = tuple(self._numbers[_WAIT : _WAIT + _BUCKETS])
        return Histogram(counts, float(self._floats[_WAIT + _BUCKETS]))

    def runs(self) -> dict[str, Runs]:
        """Return {label: its runs}, OTHER too."""
        found: dict[str, Runs] = {}
        for label in range(LABELS):
            name = self._name(label)
            if name is None:
                break
            base = _FIRST + label * _LABEL_WORDS
            ends = tuple(self._numbers[base : base + _OF_RUNS])
            buckets = tuple(self._numbers[base + _OF_RUNS : base + _SUM])
            found[name] = Runs(ends, Histogram(buckets, float(self._floats[base + _SUM])))
        return found
