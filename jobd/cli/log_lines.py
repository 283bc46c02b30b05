"""A line of the daemon's log as people read it, whatever a handler printed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLORS = {"warning": "yellow", "error": "red", "debug": "bright_black"}
_IN_THE_HEAD = ("schema", "time", "level", "event", "queue", "worker", "job", "line", "traceback")


def line_of(entry: Mapping[str, Any], *, colored: bool = False) -> str:
    """Return one line for people: time, level, where it comes from, what it says."""
    moment = datetime.fromisoformat(entry["time"]).astimezone()
    level = f"{entry['level']:<7}"
    if colored and entry["level"] in _COLORS:
        level = click.style(level, fg=_COLORS[entry["level"]])
    said = printable(entry["line"]) if entry["line"] is not None else printable(entry["event"])
    rest = [
        f"{name}={_word(value)}"
        for name, value in entry.items()
        if name not in _IN_THE_HEAD and value is not None and not (name == "pid" and entry["line"] is not None)
    ]
    words = [f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}", level, _source(entry), said, *rest]
    text = " ".join(word for word in words if word)
    return text + "".join(f"\n  {printable(line)}" for line in entry.get("traceback", "").splitlines())


def _source(entry: Mapping[str, Any]) -> str:
    """Return "email.0 job 7", as much of it as is known."""
    words = []
    if entry["queue"] is not None:
        worker = entry.get("worker")
        words.append(printable(entry["queue"]) + ("" if worker is None else f".{worker}"))
    if entry["job"] is not None:
        words.append(f"job {printable(entry['job'])}")
    return " ".join(words) + ":" if words else ""


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = text and text.isprintable() and not any(ch in text for ch in ' "=')
    return text if plain or not isinstance(value, str) else json.dumps(text, ensure_ascii=not text.isprintable())
