"""Read a stored value as BullMQ does: JavaScript turns what it finds into the number or flag it needs.

Producers write `attempts: "3"` (an environment variable) or `2.5`, and a Node worker makes three attempts of it.
"""

from __future__ import annotations

import math
import re
from typing import Any

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_OTHER_BASE = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)
_SPACE = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
_LONGEST = 400


def number(value: Any) -> float:
    """Return JavaScript's `Number(value)` of a value that came out of JSON; NaN for what is none."""
    while isinstance(value, list):
        # The text of a list is that of its only member: [3] is 3, [] is 0.
        if len(value) != 1 or isinstance(value[0], bool):
            return math.nan if value else 0.0
        value = value[0]
    if value is None:
        return 0.0
    if isinstance(value, bool | int | float):
        return _finite(value)
    if isinstance(value, str):
        return _of_text(value.strip(_SPACE))
    return math.nan


def truthy(value: Any) -> bool:
    """Return whether `if (value)` would hold."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return value is not None and value is not False and value != "" and (value != 0 or isinstance(value, list | dict))


def whole(value: Any) -> int | None:
    """Return `Number(value)` without its fraction, None where it is no number Lua can hold exactly."""
    found = number(value)
    return int(found) if -(2**53) < found < 2**53 else None


def _of_text(text: str) -> float:
    if not text:
        return 0.0
    if len(text) > _LONGEST:
        return math.nan
    if _OTHER_BASE.fullmatch(text):
        return _finite(int(text, 0))
    if text in ("Infinity", "+Infinity", "-Infinity"):
        return math.inf if text[0] != "-" else -math.inf
    return float(text) if _DECIMAL.fullmatch(text) else math.nan


def _finite(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
