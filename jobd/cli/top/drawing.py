"""Rows and small charts as text: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.cli.columns import cut
from jobd.duration import format_duration, format_size
from jobd.operations.reasons import state_word
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from jobd.cli.top.snapshot import Snapshot
    from jobd.operations.documents.history import QueueHistory
    from jobd.operations.documents.queues import QueueRow
    from jobd.operations.documents.workers import Worker

_BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "?"
AWAY = "away"
"""Stands in for the state while nobody answers."""
NONE = "-"

GOOD, BAD, MIND, DIM = "green", "red", "yellow", "bright_black"
CHART = "cyan"
STYLES = {
    "ready": GOOD, "running": GOOD, "completed": GOOD, "degraded": BAD, "breaker": BAD, "failed": BAD, "paused": MIND,
    "quiet": MIND, "draining": MIND, "starting": MIND, "reloading": MIND, "restarting": MIND, "active": GOOD, AWAY: BAD,
    "no workers": BAD,
}  # fmt: skip


def chart(values: Sequence[float | None], width: int) -> str:
    """Return the last `width` values as bars, the largest of them full height; a blank where nobody looked."""
    nothing: list[float | None] = [None] * width
    shown = [*nothing, *values][-width:]
    top = max((value for value in shown if value is not None), default=0.0)

    def bar(value: float | None) -> str:
        if value is None:
            return " "
        if not value or not top:
            return _BARS[0]
        return _BARS[min(len(_BARS) - 1, 1 + int((len(_BARS) - 2) * value / top))]

    return "".join(map(bar, shown))


def headline(snapshot: Snapshot, *, redis: str) -> str:
    """Return the first line: who is looked at, and how it does."""
    status = snapshot.status
    if status is None:
        where = f"  redis {redis}" if redis else ""
        return f"jobd top  no daemon{where}"
    said = status["redis"]
    latency = f"{said['latency_ms']:.1f}ms" if said["latency_ms"] is not None else "DOWN"
    parts = [
        f"jobd {status['version']}",
        AWAY if snapshot.trouble is not None else status["state"],
        f"up {format_duration(1000 * status['uptime_s'])}",
        f"generation {status['generation']}",
        f"{printable(said['url'])} {latency}",
    ]
    return "  ".join(parts)


def troubles(snapshot: Snapshot) -> str:
    """Return the second line: what is wrong; empty when nothing is."""
    if snapshot.trouble is not None:
        return f"not up to date: {printable(snapshot.trouble)}"
    status = snapshot.status
    if status is None:
        return ""
    lines = list(status["degraded_by"])
    if not status["redis"]["up"]:
        lines.append(f"Redis does not answer: {status['redis']['error']}")
    if status["config"]["changed_on_disk"]:
        lines.append("file changed, not loaded: jobd plan")
    if status["code"]["changed_on_disk"]:
        lines.append("code changed, not loaded: jobd reload --code")
    return printable("; ".join([*lines, *status["drift"]]))


def queue_cells(row: QueueRow, history: QueueHistory | None, width: int) -> list[str]:
    """Return the cells of a queue: name, state, busy, waiting, oldest, failed, done, both charts, note."""
    busy = f"{row['busy']}/{row['slots']}" if "busy" in row and "slots" in row else NONE
    waiting = None if row["waiting"] is None else row["waiting"] + (row["prioritized"] or 0)
    done, oldest = (history["done"], history["oldest_s"]) if history else ([], [])
    return [
        printable(row["name"]),
        state_word(row),
        busy,
        count(waiting),
        seconds(row["oldest_waiting_s"]),
        count(row["delayed"]),
        count(row["failed"]),
        count(row["done_per_min"]) if "done_per_min" in row else NONE,
        chart(done, width),
        chart(oldest, width),
        note_of(row),
    ]


QUEUE_HEADINGS = (  # as queue_cells has them
    "QUEUE",
    "STATE",
    "BUSY",
    "WAIT",
    "OLDEST",
    "DELAYED",
    "FAILED",
    "DONE/min",
    "THROUGHPUT",
    "WAITED",
    "",
)


NUMBERS = frozenset({
    "BUSY", "WAIT", "OLDEST", "DELAYED", "FAILED", "DONE/min", "DONE", "RESTARTS", "UP", "MEM", "ATTEMPTS",
})  # fmt: skip
"""Columns whose ends stand below each other."""

CHARTS = frozenset({"THROUGHPUT", "WAITED"})


def note_of(row: QueueRow) -> str:
    """Return what else to say of a queue: what is broken, its note, else why it takes nothing."""
    if note := row.get("fault") or row.get("note"):
        return printable(note.partition("\n")[0])
    why = row["why"]
    told = str(why or "").replace("_", " ")
    return "" if why == "nothing_due" or told == state_word(row) else told


WORKER_HEADINGS = ("WORKER", "QUEUE", "STATE", "BUSY", "DONE", "RESTARTS", "UP", "MEM", "RUNS")


def worker_cells(worker: Worker) -> list[str]:
    """Return the cells of a worker."""
    runs = ", ".join(
        f"{job['id'] or UNKNOWN} {job['name']} {format_duration(1000 * job['running_s'])}" for job in worker["jobs"]
    )
    return [
        str(worker["pid"] or NONE),
        printable(worker["queue"]),
        worker["state"],
        str(worker["busy"]),
        str(worker["jobs_done"]),
        str(worker["restarts"]),
        format_duration(1000 * worker["uptime_s"]),
        format_size(worker["memory_bytes"]) if worker["memory_bytes"] else NONE,
        printable(worker["why"] or runs),
    ]


JOB_HEADINGS = ("ID", "NAME", "STATE", "ATTEMPTS", "REASON")


def job_cells(job: Mapping[str, Any]) -> list[str]:
    """Return the cells of a job."""
    reason = str(job.get("failed_reason") or "").partition("\n")[0]
    return [
        printable(job["id"]),
        printable(job.get("name") or ""),
        f"{job.get('state') or '':<9}",  # states change: columns should not
        str(job.get("attempts_made", "")),
        cut(printable(reason), 200),
    ]


def count(value: int | None) -> str:
    """Return a count, ? for one that Redis could not be asked for."""
    return UNKNOWN if value is None else str(value)


def seconds(value: float | None) -> str:
    """Return a duration, - for none."""
    if value is None:
        return NONE
    return f"{value:.1f}s" if value < 1 else format_duration(1000 * value)
