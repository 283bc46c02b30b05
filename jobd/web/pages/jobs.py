"""The jobs of a queue: by state and filters, fifty on a page, in BullMQ's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.errors import NotThere
from jobd.operations import table
from jobd.web import formats
from jobd.web.filters import STATES, Wanted
from jobd.web.render import View
from jobd.web.rows import Row

if TYPE_CHECKING:
    from jobd.operations.documents.jobs import Job
    from jobd.operations.documents.queues import QueueRow
    from jobd.web.redaction import Redaction
    from jobd.web.site import Visit

_VERBS = {
    "waiting": ("cancel", "remove"), "prioritized": ("cancel", "remove"), "delayed": ("promote", "cancel", "remove"),
    "active": ("cancel",), "completed": ("retry", "remove"), "failed": ("retry", "remove"),
    "waiting-children": ("cancel", "remove"), "": ("retry", "promote", "cancel", "remove"),
}  # fmt: skip
"""What can be done to the jobs of a state."""


async def page(visit: Visit) -> View:
    """Show one page of a list."""
    queue, wanted = visit.names["queue"], Wanted.of(visit.query)
    row = (await visit.read(table.QUEUE_SHOW, {"queue": queue}))["queue"]
    hidden = await visit.site.hidden(visit)
    jobs, after, looked = await _found(visit, queue, wanted)
    context: dict[str, Any] = {
        "queue": queue,
        "row": Row.of(row, own="workers" in row),
        "wanted": wanted,
        "tabs": _tabs(queue, wanted, row),
        "jobs": [_line(job, hidden) for job in jobs],
        "looked": looked,
        "next": after,
        "after": visit.query.get("after", ""),
        "verbs": list(_VERBS[wanted.state]),
        "total": _total(wanted, row),
    }
    return View("jobs.html", context)


async def _found(visit: Visit, queue: str, wanted: Wanted) -> tuple[list[Job], str | None, int]:
    """Return the jobs of the page, where the next one begins, and how many were looked at."""
    if wanted.id:
        try:
            return [(await visit.read(table.JOB_SHOW, {"queue": queue, "id": wanted.id}))["job"]], None, 0
        except NotThere:
            return [], None, 0
    params = {"queue": queue, "after": visit.query.get("after", ""), **wanted.params()}
    found = await visit.read(table.JOB_LIST, params)
    return found["jobs"], found.get("next"), found.get("looked", 0)


def _tabs(queue: str, wanted: Wanted, row: QueueRow) -> list[dict[str, Any]]:
    """Return the states with their counts, each a link that keeps the other filters."""
    known: dict[str, Any] = {**row}
    every = [known.get(state.replace("-", "_")) for state in STATES]
    total = None if None in every else sum(value or 0 for value in every)
    tabs: list[dict[str, Any]] = [{"word": "all", "state": "", "count": total}]
    tabs += [{"word": state, "state": state, "count": value} for state, value in zip(STATES, every, strict=True)]
    return [
        {**tab, "address": wanted.address(queue, state=tab["state"]), "here": tab["state"] == wanted.state}
        for tab in tabs
    ]


def _total(wanted: Wanted, row: QueueRow) -> int | None:
    """Return how many jobs fit, where that is known without looking at them."""
    if not wanted.only_state:
        return None
    known: Any = {**row}.get(wanted.state.replace("-", "_"))
    return known if isinstance(known, int) else None


def _line(job: Job, hidden: Redaction) -> dict[str, Any]:
    reason = job["failed_reason"] or ""
    if reason and "data" in job["cut"] and hidden.globs:
        reason = "(its data is too large to look through for hidden values here: open the job)"
    else:
        reason = hidden.text(reason, hidden.values(job["data"]))
    return {
        "id": job["id"],
        "name": job["name"],
        "state": job["state"],
        "address": formats.path("queues", job["queue"], "jobs", job["id"]),
        "attempts": job["attempts_made"],
        "at": job["finished_at"] or job["processed_at"] or job["timestamp"],
        "due_at": job["timestamp"] + job["delay_ms"] if job["state"] == "delayed" else None,
        "priority": job["priority"],
        "reason": reason,
    }
