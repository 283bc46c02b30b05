"""The delay before the next attempt of a job, by BullMQ's formulas.

They are in docs/wire-format.md, "Retrying and putting back".
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from jobd.duration import to_ms
from jobd.engine.javascript import number
from jobd.errors import InputError

KINDS = ("fixed", "exponential")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before attempt n. `kind` is BullMQ's type, `jitter` the share of the delay that is random.

    `max_ms` bounds the delay; only jobd.toml has it, BullMQ stores none.
    """

    kind: str
    delay_ms: int
    jitter: float = 0.0
    max_ms: int | None = None

    @classmethod
    def fixed(cls, delay: str | float, *, jitter: float = 0.0) -> Backoff:
        """The same delay each time; "5s" or seconds."""
        return cls("fixed", to_ms(delay), _share(jitter))

    @classmethod
    def exponential(cls, delay: str | float, *, jitter: float = 0.0) -> Backoff:
        """The delay doubles with every attempt; "5s" or seconds."""
        return cls("exponential", to_ms(delay), _share(jitter))

    @classmethod
    def from_opts(cls, stored: Any) -> Backoff | None:
        """Return the backoff in a job's opts: a number is fixed. None when there is none or its type is not known."""
        if isinstance(stored, int | float) and not isinstance(stored, bool):
            stored = {"type": "fixed", "delay": stored}
        if not isinstance(stored, dict) or stored.get("type") not in KINDS:
            return None
        # What is no number is no delay to JavaScript: a retry at once. A negative one is kept, -1 says "no more".
        delay, jitter = number(stored.get("delay")), number(stored.get("jitter"))
        usable = delay if abs(delay) < 2**53 else 2**53 if delay > 0 else 0
        return cls(stored["type"], int(usable), 0.0 if math.isnan(jitter) else min(max(jitter, 0.0), 1.0))

    def to_opts(self) -> dict[str, Any]:
        """Return what BullMQ stores in a job's opts."""
        stored: dict[str, Any] = {"type": self.kind, "delay": self.delay_ms}
        if self.jitter:
            stored["jitter"] = self.jitter
        return stored

    def after(self, attempts_made: int, *, chance: float | None = None) -> int:
        """Return the milliseconds to wait after that many attempts (1: the first has failed).

        `chance` in [0, 1) stands for the random number; 1,000 attempts and more count as 1,000.
        """
        delay = min(float(self.delay_ms), 2.0**53)
        if self.kind == "exponential":
            delay *= 2.0 ** min(max(attempts_made - 1, 0), 999)
        delay = min(delay, 2.0**53 if self.max_ms is None else self.max_ms)
        if self.jitter:
            share = random.random() if chance is None else chance  # noqa: S311 - spreads load, guards nothing
            delay = math.floor(share * delay * self.jitter + delay * (1 - self.jitter))
        return int(delay)


def _share(jitter: float) -> float:
    if not 0 <= jitter <= 1:
        raise InputError(f"jitter: expected a number from 0 to 1, got {jitter!r}")
    return float(jitter)


def unknown_type(stored: Any) -> str | None:
    """Return the type of a job's backoff if it has one that is not BullMQ's own, such as a custom strategy's name."""
    if isinstance(stored, dict):
        kind = stored.get("type")
        return None if kind in KINDS else "missing" if kind is None else str(kind)
    return stored if isinstance(stored, str) and stored else None
