"""`jobd logs`: the daemon's own memory of its last lines."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.output import print_entry, warn
from jobd.cli.params import DURATION
from jobd.cli.reach import session
from jobd.operations.table import LOGS
from jobd.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.cli.settings import Settings

LEVELS = ("debug", "info", "warning", "error")
_COLORS = {"warning": "yellow", "error": "red", "debug": "bright_black"}
_WAIT_MS = 1000
_IN_THE_HEAD = ("schema", "time", "level", "event", "queue", "worker", "job", "line", "traceback")


@command(
    "logs",
    examples=[
        "jobd logs -f                          # what is remembered, then live",
        "jobd logs email --since 10m --level warning",
        "jobd logs --job 7 --json",
        "jobd logs --grep Traceback",
    ],
)
@click.argument("queue", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--job", metavar="ID", help="About this job.")
@click.option("--worker", metavar="PID", type=click.IntRange(min=1), help="About the worker with this pid.")
@click.option("--since", "since_ms", type=DURATION, metavar="D", help="At most so long ago.")
@click.option("--level", type=click.Choice(LEVELS), help="This one and worse.")
@click.option("--grep", metavar="TEXT", help="With this text.")
@click.pass_obj
def logs(settings: Settings, /, follow: bool, **search: Any) -> None:
    """Print the last lines of the daemon's log, 8 MiB at most, wherever else it writes them."""
    asked = {name: value for name, value in search.items() if value is not None}
    with session(settings, LOGS) as ask:
        cursor, more = 0, True
        while more or follow:
            found = ask({**asked, "after": cursor, "wait_ms": None if more else _WAIT_MS})
            if found["missed"]:
                warn(f"({plural(found['missed'], 'line')} came too fast to be shown)")
            for entry in found["lines"]:
                print_entry(settings, entry, lambda one: line_of(one, colored=settings.colored))
            cursor, more = found["cursor"], found["more"]


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
