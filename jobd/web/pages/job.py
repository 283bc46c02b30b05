"""One job: what it carries, what happened to it, and what can be done about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobd.errors import Refused
from jobd.operations import table
from jobd.web import formats
from jobd.web.render import View

if TYPE_CHECKING:
    from jobd.operations.documents.jobs import Job
    from jobd.web.redaction import Redaction
    from jobd.web.site import Visit

_VERBS = {
    "delayed": ("promote", "cancel", "remove"), "completed": ("retry", "remove"), "failed": ("retry", "remove"),
    "active": ("cancel",),
}  # fmt: skip
_OTHER_VERBS = ("cancel", "remove")


async def page(visit: Visit) -> View:
    """Show one job."""
    which = {"queue": visit.names["queue"], "id": visit.names["id"]}
    job = (await visit.read(table.JOB_SHOW, which))["job"]
    lines = (await visit.read(table.JOB_LOGS, which))["lines"]
    hidden = await visit.site.hidden(visit)
    values = hidden.values_of(job)
    editable = "data" not in job["cut"] and "data" not in job["broken"]
    stacks = [hidden.text(entry, values) for entry in job["stacktrace"]]
    status = await visit.status()
    context: dict[str, Any] = {
        "job": job,
        "queue": job["queue"],
        "own": status is not None and job["queue"] in [own["name"] for own in status["queues"]],
        "name": hidden.text(job["name"], values),
        "data": _payload(job, "data", hidden, values),
        "opts": _payload(job, "opts", hidden, values),
        "result": _payload(job, "result", hidden, values) if job["state"] == "completed" else None,
        "progress": _progress(job, hidden, values),
        "reason": hidden.text(job["failed_reason"], values) if job["failed_reason"] else None,
        "stacks": stacks,
        "timeline": timeline(job, stacks),
        "log": [hidden.text(line, values) for line in lines],
        "verbs": _VERBS.get(job["state"], _OTHER_VERBS),
        "again": json.dumps(hidden.data(job["data"], values), indent=2, ensure_ascii=False) if editable else None,
        "parent": parent_of(job),
        "tree": await _tree(visit, which, hidden, values),
    }
    return View("job.html", context)


async def _tree(visit: Visit, which: dict[str, str], hidden: Redaction, values: list[str]) -> dict[str, Any] | None:
    """Return the flow that the job belongs to, each job with its page; None without one."""
    try:
        found = await visit.read(table.JOB_FLOW, which)
    except Refused:
        return None  # a daemon that is older than this page
    if not found["nodes"]:
        return None
    prefix = next((node["prefix"] for node in found["nodes"] if node["id"] == which["id"]), "")
    nodes = [
        {
            **node,
            "name": hidden.text(node["name"], values),
            "here": (node["queue"], node["id"]) == (which["queue"], which["id"]),
            # Another prefix is another deployment's: this page shows one.
            "address": formats.path("queues", node["queue"], "jobs", node["id"]) if node["prefix"] == prefix else None,
        }
        for node in found["nodes"]
    ]
    return {"nodes": nodes, "cut": found["cut"]}


def _payload(job: Job, field: str, hidden: Redaction, values: list[str]) -> dict[str, Any]:
    """Return a payload as text with its size; what was too large to be read says so."""
    document: dict[str, Any] = {**job}
    if field in job["cut"]:
        return {"text": None, "bytes": job["cut"][field], "broken": False}
    value = hidden.data(document[field], values)
    written = json.dumps(value, indent=2, ensure_ascii=False)
    return {"text": written, "bytes": len(written.encode("utf-8", "surrogatepass")), "broken": field in job["broken"]}


def _progress(job: Job, hidden: Redaction, values: list[str]) -> dict[str, Any] | None:
    value = hidden.data(job["progress"], values)
    if value in (0, None):
        return None
    share = min(max(value, 0), 100) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return {"text": json.dumps(value, ensure_ascii=False), "share": share}


def timeline(job: Job, stacks: list[str]) -> list[dict[str, Any]]:
    """Return what happened, in order: each a word, a moment if it is known, and what else is to be said.

    `stacks` are the job's with what is hidden left out.
    """
    steps: list[dict[str, Any]] = [{"word": "added", "at": job["timestamp"], "more": "", "kind": "plain"}]
    if job["delay_ms"]:
        due = job["timestamp"] + job["delay_ms"]
        steps.append({"word": "due", "at": due, "more": "", "kind": "plain"})
    finished = job["state"] in ("completed", "failed")
    failures = stacks[: -1 if job["state"] == "failed" else None]
    first = job["attempts_made"] - len(failures) - (1 if finished else 0)
    for number, entry in enumerate(failures, start=max(first, 0) + 1):
        steps.append(
            {"word": f"attempt {number} failed", "at": None, "more": formats.first_line(_error(entry)), "kind": "bad"}
        )
    if job["processed_at"]:
        number = job["attempts_made"] + (0 if finished or job["state"] == "delayed" else 1)
        by = f"by {job['worker']}" if job["worker"] else ""
        steps.append(
            {"word": f"attempt {max(number, 1)} started", "at": job["processed_at"], "more": by, "kind": "plain"}
        )
    if job["crashes"]:
        times = "once" if job["crashes"] == 1 else f"{formats.count(job['crashes'])} times"
        steps.append({"word": "worker or lock lost", "at": None, "more": times, "kind": "bad"})
    if finished and job["finished_at"]:
        took = job["finished_at"] - (job["processed_at"] or job["finished_at"])
        kind = "good" if job["state"] == "completed" else "bad"
        steps.append(
            {
                "word": job["state"],
                "at": job["finished_at"],
                "more": f"after {formats.milliseconds(took)}",
                "kind": kind,
            }
        )
    elif not finished:
        steps.append({"word": f"{job['state']} now", "at": None, "more": "", "kind": "now"})
    return steps


def _error(stack: str) -> str:
    """Return the line of a stack that names the error: Python's last one, Node's first."""
    lines = [line for line in stack.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def parent_of(job: Job) -> dict[str, str] | None:
    """Return the parent's queue and id; it may have another prefix, and then no page here."""
    key = job["parent_key"]
    if not key or key.count(":") < 2:
        return None
    _, queue, parent = key.rsplit(":", 2)
    return {"queue": queue, "id": parent, "address": formats.path("queues", queue, "jobs", parent)}
