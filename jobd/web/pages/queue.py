"""One queue: how it does, what its workers run, what it is set to and by which line of which file."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from jobd.operations import table
from jobd.web.charts import charts
from jobd.web.render import View
from jobd.web.rows import Row
from jobd.words import natural

if TYPE_CHECKING:
    from jobd.operations.documents.daemon import ConfigEntry
    from jobd.web.site import Visit


async def page(visit: Visit) -> View:
    """Show one queue."""
    name = visit.names["queue"]
    row = (await visit.read(table.QUEUE_SHOW, {"queue": name}))["queue"]
    own = "workers" in row
    shown = await visit.shared(table.CONFIG_SHOW, {"origin": True}) if own else None
    context: dict[str, Any] = {
        "row": Row.of(row, own=own),
        "queue": name,
        "charts": charts((await visit.shared(table.HISTORY, {"queues": [name]}, max_age_s=10.0))["queues"]),
        "settings": settings_of(name, shown.get("entries", [])) if shown else [],
    }
    return View("queue.html", context)


def settings_of(queue: str, entries: list[ConfigEntry]) -> list[dict[str, Any]]:
    """Return the settings of a queue: those that were written first, as they stand there, then what is built in."""
    found: list[dict[str, Any]] = []
    for entry in entries:
        path = key_path(entry["key"])
        if path[:2] == ["queues", queue]:
            written = entry["origin"] != "built in"
            found.append(
                {"key": ".".join(path[2:]), "value": entry["value"], "origin": entry["origin"], "written": written}
            )
    return sorted(found, key=lambda setting: (not setting["written"], natural(setting["origin"])))


def key_path(key: str) -> list[str]:
    """Return the parts of a dotted TOML key."""
    table_: Any = tomllib.loads(f"{key} = 0")
    path = []
    while isinstance(table_, dict):
        name, table_ = next(iter(table_.items()))
        path.append(str(name))
    return path
