"""The end of the daemon's log, the latest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobd.duration import parse_duration
from jobd.errors import InputError
from jobd.operations import table
from jobd.web.render import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.web.redaction import Redaction
    from jobd.web.site import Visit

LEVELS = ("debug", "info", "warning", "error")
_SHOWN = 200
_HEAD = ("schema", "time", "level", "event", "queue", "job", "line", "traceback")


async def page(visit: Visit) -> View:
    """Show the last lines that fit the filters."""
    given = {part: visit.query.get(part, "").strip() for part in ("queue", "job", "worker", "since", "level", "grep")}
    params: dict[str, Any] = {name: value for name, value in given.items() if value and name not in ("worker", "since")}
    if given["worker"]:
        if not given["worker"].isdecimal():
            raise InputError(f'worker: expected a pid, got "{given["worker"]}"')
        params["worker"] = int(given["worker"])
    if given["since"]:
        params["since_ms"] = parse_duration(given["since"])
    if visit.site.reach.reads_only:
        return View("logs.html", {"filters": given, "levels": LEVELS, "lines": None})
    found = await visit.read(table.LOGS, {**params, "limit": _SHOWN})
    hidden = await visit.site.hidden(visit)
    lines: list[Mapping[str, Any]] = [{**line} for line in found["lines"]]
    known = await visit.site.repeated.of(visit, hidden, ((line["queue"], line["job"]) for line in lines))
    nameless = (line["queue"] for line in lines if line["queue"] and not line["job"] and line["line"] is not None)
    of_queue = await visit.site.repeated.of_queues(visit, hidden, nameless)
    shown = [
        _line(line, hidden, known.get((line["queue"], line["job"])) or of_queue.get(line["queue"], []))
        for line in latest_first(lines)
    ]
    context = {"filters": given, "levels": LEVELS, "lines": shown}
    return View("logs.html", context)


def latest_first(lines: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the lines latest first, but what a process printed in one go, such as a traceback, as it was printed."""
    blocks: list[list[Mapping[str, Any]]] = []
    for line in lines:
        before = blocks[-1][-1] if blocks else None
        if before is not None and line["line"] is not None and _source(line) == _source(before):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return [line for block in reversed(blocks) for line in block]


def _source(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return who printed a line, and in which tenth of a second."""
    return line["line"] is not None, line["queue"], line.get("pid"), line["job"], str(line["time"])[:21]


def _line(line: Mapping[str, Any], hidden: Redaction, values: list[str]) -> dict[str, Any]:
    said = line["line"] if line["line"] is not None else line["event"]
    rest = {name: value for name, value in line.items() if name not in _HEAD and value is not None}
    return {
        "time": line["time"],
        "level": line["level"],
        "queue": line["queue"],
        "job": line["job"],
        "said": hidden.text(str(said), values),
        "rest": [(name, _value(name, value, hidden, values)) for name, value in rest.items()],
        "traceback": hidden.text(str(line["traceback"]), values) if line.get("traceback") else None,
    }


def _value(name: str, value: Any, hidden: Redaction, values: list[str]) -> str:
    if hidden.name(name):
        return "***"
    return (
        hidden.text(value, values)
        if isinstance(value, str)
        else json.dumps(hidden.data(value, values), ensure_ascii=False)
    )
