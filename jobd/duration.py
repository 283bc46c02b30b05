"""Durations and sizes as people write them: "1m30s" to milliseconds, "512MB" to bytes, and back."""

from __future__ import annotations

import re

from jobd.errors import DurationError, InputError

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_UNIT_BYTES = {
    "B": 1,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]i?B|B)", re.ASCII)

_SIZES = (("GiB", 2**30), ("GB", 10**9), ("MiB", 2**20), ("MB", 10**6), ("KiB", 2**10), ("kB", 10**3))

MAX_MS = 100 * 365 * 86_400_000
"""A hundred years: anything longer is a slip of the keyboard, and due times stay exact in a score until 2039."""


def parse_duration(text: str) -> int:
    """Return the milliseconds of a text such as "250ms", "5s", "1m30s", "2h" or "7d".

    Raises:
        DurationError: not a duration; the message suggests the unit when only a number was given.
    """
    stripped = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped, re.ASCII):
        raise DurationError(f'expected a duration with a unit such as "30s", got "{text}"; did you mean "{stripped}s"?')
    position, total = 0, 0.0
    while position < len(stripped):
        part = _PART.match(stripped, position)
        if part is None:
            break
        total += float(part[1]) * _UNIT_MS[part[2]]
        position = part.end()
    if not stripped or position < len(stripped):
        raise DurationError(f'expected a duration such as "30s", "250ms", "1m30s" or "2h", got "{text}"')
    if total > MAX_MS:
        raise DurationError(f'expected a duration of at most 100 years, got "{text}"')
    return round(total)


def to_ms(value: object) -> int:
    """Return milliseconds of a duration text, a timedelta, or a plain number of seconds (handlers and clients).

    Raises:
        DurationError: not a duration, negative, or not finite.
    """
    if isinstance(value, str):
        return parse_duration(value)
    if hasattr(value, "total_seconds"):  # a timedelta; datetime itself is not worth its import here
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value * 1000 <= MAX_MS:
        raise DurationError(f'expected a duration such as "30s" or a number of seconds, got {value!r}')
    return round(value * 1000)


def format_duration(ms: float) -> str:
    """Return the shortest exact-enough text for people: "400ms", "1.4s", "42s", "2m10s", "3h5m", "3d 4h".

    The two largest units are shown; below ten seconds one decimal place where it says something.
    """
    ms = max(ms, 0)
    if round(ms) < 1_000:
        return f"{round(ms)}ms"
    if ms < 10_000:
        return f"{ms / 1000:.1f}".removesuffix(".0") + "s"
    seconds = int(ms // 1000)
    for unit, size, below, below_size in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // below_size
            gap = " " if unit == "d" else ""
            return f"{seconds // size}{unit}" + (f"{gap}{rest}{below}" if rest else "")
    return f"{seconds}s"


def spell_duration(ms: int) -> str:
    """Return a text that `parse_duration` reads back to exactly `ms`, in the units a person would write."""
    if ms == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_size(text: str) -> int:
    """Return the bytes of a text such as "512MB" (10^6) or "512MiB" (2^20).

    Raises:
        InputError: not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    size = float(found[1]) * _UNIT_BYTES[found[2]] if found else -1
    if not 0 <= size < 2**63:
        raise InputError(f'expected a size such as "500MB" or "512MiB", got "{text}"')
    return round(size)


def spell_size(size: int) -> str:
    """Return a text that reads back to exactly `size` bytes, in the largest unit that divides it."""
    unit, factor = next(((unit, factor) for unit, factor in _SIZES if size % factor == 0), ("B", 1))
    return f"{size // factor}{unit}"


def format_size(size: float) -> str:
    """Return bytes as people read them, three digits at most: "61MB", "1.9GB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if round(size) >= factor - factor // 2000:  # what three digits would round to 1000 of the smaller unit
            value = size / factor
            return (f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}") + unit
    return f"{size:.0f}B"
