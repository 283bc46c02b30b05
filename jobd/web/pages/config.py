"""The configuration: what is in force and from where, what differs on disk, and applying it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.errors import ConfigError, DaemonAway, JobdError
from jobd.operations import table
from jobd.web.pages.queue import key_path
from jobd.web.problems import problem, status_of
from jobd.web.render import View

if TYPE_CHECKING:
    from jobd.operations.documents.daemon import ConfigEntry
    from jobd.web.redaction import Redaction
    from jobd.web.site import Visit


async def page(visit: Visit) -> View:
    """Show the configuration in force, and what a reload would do."""
    return await _view(visit, None)


async def refused(visit: Visit, error: JobdError) -> View:
    """Show why a reload was refused: each problem with its file, line and column."""
    found = problem(error).context
    status = 503 if status_of(error) == 503 else 409
    return await _view(visit, {"text": found["text"], "lines": found["lines"]}, status)


async def _view(visit: Visit, refusal: dict[str, Any] | None, status: int = 200) -> View:
    hidden = await visit.site.hidden(visit)
    plan, plan_error = await _plan(visit)
    file_error: list[str] = []
    try:
        shown = await visit.config()
    except ConfigError as error:
        shown, file_error = None, list(error.problems) or [str(error)]
    context = {
        "plan": plan,
        "plan_error": plan_error,
        "refusal": refusal,
        "file_error": file_error,
        "sections": sections(shown.get("entries", []), hidden) if shown else [],
        "status": await visit.status(),
    }
    return View("config.html", context, status)


async def _plan(visit: Visit) -> tuple[Any, dict[str, Any] | None]:
    try:
        return await visit.read(table.PLAN), None
    except DaemonAway:
        return None, None
    except (JobdError, OSError) as error:
        return None, problem(error).context


def sections(entries: list[ConfigEntry], hidden: Redaction) -> list[dict[str, Any]]:
    """Return the keys by table, in the order of the file's reference: what was written first, then what is built in.

    `data` of a schedule is a payload as any other: what `hide` names in it is hidden here, too.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        path = key_path(entry["key"])
        depth = 2 if path[0] in ("queues", "schedules", "presets") else 1
        value = hidden.text(entry["value"]) if path[0] == "schedules" and path[2:] == ["data"] else entry["value"]
        line = {"key": ".".join(path[depth:]), "value": value, "origin": entry["origin"]}
        found.setdefault(".".join(path[:depth]), []).append({**line, "written": entry["origin"] != "built in"})
    return [
        {
            "name": name,
            "written": [e for e in lines if e["written"]],
            "built_in": [e for e in lines if not e["written"]],
        }
        for name, lines in found.items()
    ]
