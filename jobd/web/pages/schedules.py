"""The schedules of all queues: when each is due, and whose it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobd.errors import NotThere, Refused
from jobd.operations import table
from jobd.web import formats
from jobd.web.render import View

if TYPE_CHECKING:
    from jobd.operations.documents.schedules import ScheduleRow
    from jobd.web.site import Visit

_AT_ONCE = 16
_AHEAD = 3
"""Runs that are told in advance."""

_TOLD = 50
"""Schedules whose further runs are told; of more than that only the next one is."""


async def page(visit: Visit) -> View:
    """Show every schedule, the one that is due next first."""
    names = await visit.site.names.known()
    if not names and visit.site.names.error is not None:
        raise visit.site.names.error
    limit = asyncio.Semaphore(_AT_ONCE)

    async def of(queue: str) -> list[ScheduleRow]:
        async with limit:
            return (await visit.read(table.SCHEDULE_LIST, {"queue": queue}))["schedules"]

    found = [row for rows in await asyncio.gather(*(of(name) for name in names)) for row in rows]
    found.sort(key=lambda row: (row["next_at"] is None, row["next_at"] or 0, row["name"]))
    ahead = await asyncio.gather(*(_ahead(visit, row, limit) for row in found[:_TOLD]))
    rows = [_line(row, ahead[at] if at < len(ahead) else []) for at, row in enumerate(found)]
    return View("schedules.html", {"rows": rows, "searching": visit.site.names.searching})


async def _ahead(visit: Visit, row: ScheduleRow, limit: asyncio.Semaphore) -> list[int]:
    if row["state"] != "running":
        return []
    which = {"name": row["name"], "queue": row["queue"], "count": _AHEAD}
    async with limit:
        try:
            return (await visit.shared(table.SCHEDULE_NEXT, which, max_age_s=10.0))["next"]
        except (NotThere, Refused):
            return []  # it went meanwhile


def _line(row: ScheduleRow, times: list[int]) -> dict[str, Any]:
    return {
        **row,
        "rule": row["cron"] if row["cron"] is not None else f"every {formats.milliseconds(row['every_ms'])}",
        "whose": row["place"] or (f"[app] {row['app']}" if row["app"] else "Node"),
        "further": times[1:],
        "address": formats.path("schedules", row["queue"], row["name"]),
        "queue_address": formats.path("queues", row["queue"]),
    }
