"""Wait for a fact with a deadline; a failure shows the last value seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(fact: Callable[[], T], deadline: float = 10.0, *, what: str = "", every: float = 0.01) -> T:
    """Return the first true value of `fact()`, asked every `every` seconds; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline}s: {what or fact}; last seen: {value!r}")
        time.sleep(every)
