"""What happens to the jobs of the queues: the end of BullMQ's event streams, the latest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobd.operations import table
from jobd.web import formats
from jobd.web.render import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.web.redaction import Redaction
    from jobd.web.site import Visit

_SHOWN = 100
_HEAD = ("schema", "time", "queue", "event", "jobId")
_JSON = ("returnvalue", "data", "progress")
"""Members of an event that hold JSON as text."""


async def page(visit: Visit) -> View:
    """Show the last events that fit the filters."""
    queue, name, job = (visit.query.get(part, "").strip() for part in ("queue", "name", "job"))
    known = await visit.site.names.known()
    if not known and visit.site.names.error is not None:
        raise visit.site.names.error
    params = {
        "queues": [queue] if queue else known,
        "name": name or None,
        "job": job or None,
        "limit": _SHOWN,
    }
    found = (await visit.read(table.EVENTS, params))["events"] if params["queues"] else []
    hidden = await visit.site.hidden(visit)
    events: list[Mapping[str, Any]] = [{**event} for event in found]
    known_values = await visit.site.repeated.of(visit, hidden, ((event["queue"], event["jobId"]) for event in events))
    context = {
        "filters": {"queue": queue, "name": name, "job": job},
        "known": known,
        "events": [
            _line(event, hidden, known_values.get((event["queue"], event["jobId"]), [])) for event in reversed(events)
        ],
    }
    return View("events.html", context)


def _line(event: Mapping[str, Any], hidden: Redaction, values: list[str]) -> dict[str, Any]:
    job = event["jobId"]
    return {
        "time": event["time"],
        "queue": event["queue"],
        "queue_address": formats.path("queues", event["queue"]),
        "event": event["event"],
        "job": job,
        "job_address": formats.path("queues", event["queue"], "jobs", job) if job else None,
        "bad": event["event"] in ("failed", "stalled", "retries-exhausted"),
        "rest": [(name, _value(name, value, hidden, values)) for name, value in event.items() if name not in _HEAD],
    }


def _short(number: str) -> float:
    """Return a number with the digits that one reads in passing: progress is often a third of something."""
    return float(f"{float(number):.6g}")


def _value(name: str, value: object, hidden: Redaction, values: list[str]) -> str:
    """Return a member as text; JSON is looked through as JSON, so that nothing hides in its quoting."""
    written = str(value)
    if name in _JSON:
        try:
            return json.dumps(hidden.data(json.loads(written, parse_float=_short), values), ensure_ascii=False)
        except ValueError:
            pass
    return hidden.text(written, values)
