"""The overview: is it well, is it keeping up, and if not, which queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from jobd.errors import DaemonAway, Refused
from jobd.operations import table
from jobd.web.charts import charts, spark
from jobd.web.render import View
from jobd.web.rows import Row, by_trouble

if TYPE_CHECKING:
    from jobd.operations.documents.history import QueueHistory
    from jobd.operations.documents.hosts import Host
    from jobd.operations.documents.queues import QueueRow
    from jobd.web.site import Visit


_HISTORY_AGE_S = 10.0
"""Its numbers are minutes."""

_HOSTS_AGE_S = 5.0

_FIND_FROM = 15
"""With more queues than a screen shows at once, they can be searched for."""


async def page(visit: Visit) -> View:
    """Show the daemon, its queues, and the other queues of the Redis."""
    status = await visit.status()
    names = visit.site.names
    own = [cast("QueueRow", queue) for queue in status["queues"]] if status else []
    redis_up = status is None or status["redis"]["up"]
    others = await _others(visit, {row["name"] for row in own}) if redis_up else []
    find = visit.query.get("queue", "").strip()
    rows = by_trouble([Row.of(row, own=True) for row in own] + [Row.of(row, own=False) for row in others])
    if find:
        rows = [row for row in rows if find.lower() in row.name.lower()]
    # Of its own queues a daemon remembers the past; of the others it would have to ask.
    histories = await _histories(visit, [row for row in rows if redis_up or row.own])
    hosts = await _hosts(visit) if redis_up else []
    context = {
        "status": status,
        "rows": rows,
        "find": find,
        "find_from": _FIND_FROM,
        "searching": names.searching,
        "search_error": None if rows or names.error is None else str(names.error),
        "charts": charts(histories),
        "sparks": {queue["name"]: spark(queue) for queue in histories},
        "hosts": hosts,
    }
    return View("overview.html", context)


async def _others(visit: Visit, own: set[str]) -> list[QueueRow]:
    """Return the queues that this host does not run: those of Node workers, or all of them without a daemon."""
    known = [name for name in await visit.site.names.known() if name not in own]
    if not known:
        if visit.site.names.error is not None and not own:
            raise visit.site.names.error
        return []
    try:
        return (await visit.read(table.QUEUE_LIST, {"queues": known}))["queues"]
    except DaemonAway:
        return []


async def _histories(visit: Visit, rows: list[Row]) -> list[QueueHistory]:
    """Return the last hours; nothing from a daemon that is older than this page."""
    if not rows:
        return []
    try:
        shown = {"queues": [row.name for row in rows]}
        return (await visit.shared(table.HISTORY, shown, max_age_s=_HISTORY_AGE_S))["queues"]
    except Refused:
        return []


async def _hosts(visit: Visit) -> list[Host]:
    """Return the daemons on this Redis; none from a daemon that is older than this page."""
    try:
        return (await visit.shared(table.HOST_LIST, max_age_s=_HOSTS_AGE_S))["hosts"]
    except Refused:
        return []
