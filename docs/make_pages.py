"""Write the pages that are made from the code: `make docs`. A test fails when one of them is not up to date.

Another page: a function that returns its text, and a line in PAGES.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.cli.commands.systemd import UNITS, unit
from jobd.config import reference as configuration
from jobd.operations import reference as operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
_LEVELS = ("debug", "info", "warning", "error")
_LOGGERS = ("log", "_log")


@dataclass(frozen=True)
class LogCall:
    """One place in the code that logs. `event` is the fixed phrase; `fields` are the names of what goes with it."""

    event: str
    level: str
    fields: tuple[str, ...]
    place: str


def log_calls(room: str) -> list[LogCall]:
    """Return every call that logs in a room of jobd/, in order of files and lines."""
    found = []
    for file in sorted((ROOT / "jobd" / room).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        aliases = dict(alias for node in nodes for alias in _alias(node))
        for node in nodes:
            if isinstance(node, ast.Call) and node.args:
                for level in aliases.get(_name(node.func), _level(node.func)):
                    found += _read(node, level, str(file.relative_to(ROOT)))
    return found


def _alias(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """`write = log.info if asked else log.warning` makes `write` a way to log, too."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
        levels = _level(node.value.body) + _level(node.value.orelse)
        if levels:
            yield _name(node.targets[0]), levels


def _level(function: ast.expr) -> list[str]:
    """The level of `log.info`; none when this is no way to log."""
    if not isinstance(function, ast.Attribute) or _name(function.value) not in _LOGGERS:
        return []
    level = "error" if function.attr == "exception" else function.attr
    return [level] if level in _LEVELS else []


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _read(call: ast.Call, level: str, place: str) -> Iterator[LogCall]:
    fields = tuple(keyword.arg for keyword in call.keywords if keyword.arg not in (None, "exc_info"))
    for text in _texts(call.args[0]):
        yield LogCall(text.partition("%")[0].rstrip(" :,(\n"), level, fields, place)


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts an event can be; none for one that is chosen elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def log_events() -> str:
    """Return docs/log-events.md."""
    lines = [
        "# Log events",
        "",
        "Made from the code by `make docs`. Each line of the daemon's log is a fixed phrase and fields; search for the",
        "phrase. Values are never part of it. Job data is never logged, except in tracebacks of failed attempts, which",
        "`jobd run --dev` prints. In the JSON form the phrase is `event`.",
        "",
        "## The daemon's",
        "",
        "| event | level | fields |",
        "|---|---|---|",
        *_rows(log_calls("daemon")),
        "",
        "## A worker's",
        "",
        "What a worker prints, its own lines among it, comes as the daemon's event `output` with the queue, the",
        "worker's pid and, where one job runs, the job.",
        "",
        "| the line begins with | level |",
        "|---|---|",
        *[f"| `{event}` | {level} |" for event, level, _ in _merged(log_calls("worker"))],
        "",
    ]
    return "\n".join(lines)


def _rows(calls: list[LogCall]) -> list[str]:
    return [
        f"| `{event}` | {level} | {' '.join(f'`{field}`' for field in fields) or '-'} |"
        for event, level, fields in _merged(calls)
    ]


def _merged(calls: list[LogCall]) -> list[tuple[str, str, list[str]]]:
    """One row an event: its levels, and every field that any of its calls has."""
    by_event: dict[str, list[LogCall]] = defaultdict(list)
    for call in calls:
        by_event[call.event].append(call)
    rows = []
    for event in sorted(by_event):
        levels = sorted({call.level for call in by_event[event]}, key=_LEVELS.index)
        fields = dict.fromkeys(field for call in by_event[event] for field in call.fields)
        rows.append((event, ", ".join(levels), list(fields)))
    return rows


PAGES: dict[str, Callable[[], str]] = {
    "docs/log-events.md": log_events,
    **{f"systemd/{name}": partial(unit, name) for name in UNITS},
    "docs/control-socket.md": operations.page,
    "docs/configuration.md": configuration.page,
}
"""Path from the root: what makes its text."""


def main() -> None:
    """Write every page that differs from what it would be now."""
    for path, make in PAGES.items():
        text, file = make(), ROOT / path
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            sys.stdout.write(f"{path} written\n")


if __name__ == "__main__":
    main()
