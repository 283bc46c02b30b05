"""Scenarios for running workers: the same queues and jobs, once with BullMQ's Worker and once with a worker of jobd.

A file here is one group: `ROWS = {name: steps}`, and `COMPAT`, its line of docs/bullmq-compatibility.md. Everything a
client does is done by BullMQ in both runs (the steps of scenarios.py and maintenance.py, and these):

["work", queue, settings]: start a worker; settings are BullMQ's (concurrency, limiter, removeOnComplete, …)
["stop", queue]: end it, when what it runs has ended
["idle", *queues]: wait until nothing is waiting, active or due there
["state", queue, state, count]: wait until a state has so many jobs
["due", queue]: wait until everything delayed is due
["open", gate], ["noted", name]: let a job that waits at a gate go on; wait until a job has noted something
["bulk", queue, jobs], ["retry all", queue, opts], ["promote all", queue], ["global concurrency", queue, n],
["global limit", queue, max, ms], ["limit", queue, ms], ["log", queue, id, line], ["deduplication away", queue, id],
["children away", queue, id], ["leave parent", queue, id]

A job's data is `does(row, row, …)`, one row of acts for each start, or anything, which is then its result. Acts:
["progress", value], ["log", line], ["data", value], ["add", queue, name, data, opts], ["return", value], ["big", n],
["children"] (its children's values and failures are its result), ["throw", text], ["fatal", text], ["later", ms],
["again"] (at once), ["limited", ms], ["wait"] (for its children), ["note", name], ["gate", name].
"""

from __future__ import annotations

from typing import Any

Step = list[Any]


def does(*rows: list[Step]) -> dict[str, Any]:
    """The data of a job that does one of these rows at each start, the last from then on."""
    return {"runs": list(rows)}


def add(data: Any = None, *, queue: str = "q", name: str = "job", **opts: Any) -> Step:
    """One job; options as BullMQ names them."""
    return ["add", queue, name, data, opts]


def worked(*steps: Step, queue: str = "q", **settings: Any) -> list[Step]:
    """These steps, then a worker until nothing is left to do."""
    return [*steps, ["work", queue, settings], ["idle", queue]]


FAILS = does([["throw", "boom"]])
FLAKY = does([["throw", "boom"]], [["return", "at last"]])
