"""How the page writes numbers, times and payloads."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from jobd.duration import format_duration, format_size

NOTHING = "-"
UNKNOWN = "?"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def count(value: float | None) -> str:
    """Return a count with thin gaps between thousands; "?" for what Redis could not be asked."""
    return UNKNOWN if value is None else f"{value:,.0f}".replace(",", "\u202f")


def seconds(value: float | None) -> str:
    """Return seconds as a duration."""
    return NOTHING if value is None else format_duration(1000 * value)


def milliseconds(value: float | None) -> str:
    """Return milliseconds as a duration, with a decimal where there would be one digit only."""
    if value is not None and 0 < value < 10 and value != round(value):
        return f"{value:.1f}ms"
    return NOTHING if value is None else format_duration(value)


def size(value: int | None) -> str:
    """Return bytes."""
    return format_size(value) if value else NOTHING


def moment(at_ms: float | None) -> str:
    """Return a moment as "2026-11-27 07:03:11 UTC"."""
    if not at_ms:
        return NOTHING
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def iso(at_ms: float | None) -> str:
    """Return a moment as machines read it, empty for none."""
    try:
        return datetime.fromtimestamp((at_ms or 0) / 1000, UTC).isoformat(timespec="milliseconds") if at_ms else ""
    except (OverflowError, ValueError, OSError):
        return ""


def ago(at_ms: float | None) -> str:
    """Return how long ago, or in how long, a moment is."""
    if not at_ms:
        return NOTHING
    apart = time.time() * 1000 - at_ms
    return f"{format_duration(apart)} ago" if apart >= 0 else f"in {format_duration(-apart)}"


def pretty(value: Any) -> str:
    """Return JSON over lines."""
    return shown(json.dumps(value, indent=2, ensure_ascii=False))


def shown(text: object) -> str:
    """Return a text without what moves a cursor or turns the direction of writing: control characters as escapes."""
    written = str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), written)


def first_line(text: object) -> str:
    """Return the first line that says something, shortened."""
    line = next((part for part in str(text or "").splitlines() if part.strip()), "")
    return shown(line if len(line) <= 200 else line[:199] + "…")


def path(*parts: str) -> str:
    """Return a path of the page, each part escaped: path("queues", "a/b") is /queues/a%2Fb."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def address(base: str, **query: str | int | None) -> str:
    """Return a path with the parts of the query that are given."""
    given = {name.removesuffix("_"): value for name, value in query.items() if value not in (None, "")}
    return f"{base}?{urlencode(given)}" if given else base


def many(number: float, noun: str) -> str:
    """Return "1 job", "3 jobs", with gaps between thousands."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"
