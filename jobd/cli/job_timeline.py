"""One job as its story: when it came, who ran it, how each attempt ended, what comes next, and what one types next."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from jobd.cli.columns import moment
from jobd.duration import format_duration
from jobd.operations.handed_back import HANDED_BACK_OFTEN, outlasts
from jobd.words import plural, printable, shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.operations.documents.jobs import Job

_LONG = 2000
"""Characters of a payload that are shown; --json has all of it."""


def timeline(job: Job) -> Iterator[str]:
    """Yield the lines; the last one ends with the command that one would type next."""
    yield f"job {printable(job['id'])} of {printable(job['queue'])}: {_state(job)}"
    rows = [(name, value) for name, value in _rows(job) if value]
    for name, value in rows:
        yield f"  {name:<10} {printable(value)}"
    yield from _attempts(job)
    yield from _payloads(job)
    yield f"next: {next_command(job)}"


def next_command(job: Job) -> str:
    """Return what one would type next about a job in this state."""
    queue, job_id = shell_word(job["queue"]), shell_word(job["id"])
    pending = job.get("children", {}).get("pending") or []
    match job["state"]:
        case "failed":
            return f"jobd job retry {queue} {job_id}"
        case "delayed":
            return f"jobd job promote {queue} {job_id}"
        case "active":
            return f"jobd job stack {queue} {job_id}"
        case "completed":
            return f"jobd job logs {queue} {job_id}"
        case "waiting-children" if pending:
            return f"jobd job show {_child(pending[0])}"
        case "unknown":
            return f"jobd job remove {queue} {job_id}"
        case _:
            return f"jobd queue show {queue}"


def _state(job: Job) -> str:
    cut = "" if job["state"] != "unknown" else " (no list or set of its queue names it)"
    return f"{job['state']}{cut}"


def _rows(job: Job) -> Iterator[tuple[str, str]]:
    now_ms = time.time_ns() // 1_000_000
    yield "name", job["name"]
    yield "added", _when(job["timestamp"], now_ms)
    due_at, made = job.get("due_at"), job["attempts_made"]
    if due_at is not None:
        yield "next retry" if made else "due", _when(due_at, now_ms)
    elif job["delay_ms"]:
        yield "due", _when(job["timestamp"] + job["delay_ms"], now_ms)
    if job["priority"]:
        yield "priority", str(job["priority"])
    if job["processed_at"] is not None:
        yield "started", f"{_when(job['processed_at'], now_ms)}{_by(job['worker'])}"
    if job["finished_at"] is not None:
        ran = max(0, job["finished_at"] - (job["processed_at"] or job["finished_at"]))
        yield "ended", f"{_when(job['finished_at'], now_ms)}, after {format_duration(ran)}"
    if job["state"] == "active":
        lock = job.get("lock_ms")
        yield "lock", "none: its worker is gone" if lock is None else f"lives {format_duration(lock)} more"
    yield "attempts", _counted(job)
    back = job.get("handed_back", 0)
    if back and job["state"] not in ("completed", "failed"):
        yield "stopped", outlasts(back) if back >= HANDED_BACK_OFTEN else f"handed back {plural(back, 'time')}"
    if job["parent_key"]:
        yield "parent", f"jobd job show {_child(job['parent_key'])}"
    yield from _children(job)
    lines = job.get("log_lines")
    if lines:
        yield "log", f"{plural(lines, 'line')}: jobd job logs {shell_word(job['queue'])} {shell_word(job['id'])}"
    if job["progress"] not in (0, None):
        yield "progress", _text(job["progress"])
    deferred = job.get("deferred_failure")
    if deferred:
        yield "will fail", f"{deferred} (whoever takes it fails it, it does not run)"
    if job["broken"]:
        yield "broken", ", ".join(job["broken"])


def _counted(job: Job) -> str:
    most = job["opts"].get("attempts")
    of = f" of {most}" if isinstance(most, int) and most > 1 else ""
    # One count for both, as BullMQ's: a worker that died, and a lock that ran out while its worker may have lived.
    times = "once" if job["crashes"] == 1 else f"{job['crashes']} times"
    crashes = f", worker or lock lost {times}" if job["crashes"] else ""
    return f"{job['attempts_made']}{of} made, {plural(job['attempts_started'], 'start')}{crashes}"


def _children(job: Job) -> Iterator[tuple[str, str]]:
    children = job.get("children")
    if children is None or not any((children["pending_count"], children["completed_count"], children["failed_count"])):
        return
    counts = [f"{children['pending_count']} pending", f"{children['completed_count']} completed"]
    yield "children", ", ".join([*counts, f"{children['failed_count']} failed"])
    for name, keys in (("pending", children["pending"]), ("failed", children["failed"])):
        for key in keys:
            yield "", f"{name}: jobd job show {_child(key)}"


def _attempts(job: Job) -> Iterator[str]:
    """Yield how each attempt ended, the last one whole; a death of its worker tells how that died."""
    traces = job["stacktrace"]
    first = job["attempts_made"] - len(traces) + 1
    for number, trace in enumerate(traces[:-1], max(1, first)):
        lines = trace.strip().splitlines() or [""]
        yield f"  attempt {number}: {printable(lines[-1])}"
    if traces:
        yield f"  attempt {max(1, job['attempts_made'])}:"
        yield from (f"    {printable(line)}" for line in traces[-1].rstrip().splitlines())
    reason = job["failed_reason"]
    if reason:
        name = "reason" if job["state"] == "failed" else "failed before"
        first_line, *rest = reason.splitlines() or [""]
        yield f"  {name}: {printable(first_line)}"
        if not traces or traces[-1].strip() != reason.strip():
            yield from (f"    {printable(line)}" for line in rest)


def _payloads(job: Job) -> Iterator[str]:
    for name, value in (("data", job["data"]), ("options", job["opts"]), ("result", job["result"])):
        size = job["cut"].get({"options": "opts"}.get(name, name))
        if size is not None:
            yield f"  {name}: {size} bytes, too long to be shown here"
        elif value not in (None, {}):
            yield f"  {name}: {_text(value)}"


def _text(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONG else f"{text[:_LONG]}… (--json has all)"


def _when(at_ms: int, now_ms: int) -> str:
    ago = now_ms - at_ms
    return (
        f"{moment(at_ms)}, {format_duration(ago)} ago" if ago >= 0 else f"{moment(at_ms)}, in {format_duration(-ago)}"
    )


def _by(worker: str | None) -> str:
    """Return who ran it: jobd's workers are called `<host>:<queue>:<pid>`, others as they like."""
    if not worker:
        return ""
    host, _, rest = worker.partition(":")
    pid = rest.rpartition(":")[2]
    return f", by worker {pid} on {host}" if rest and pid.isdecimal() else f", by {worker}"


def _child(key: str) -> str:
    """Return queue and id of a job's key as a command takes them."""
    qualified, _, job_id = key.rpartition(":")
    return f"{shell_word(qualified.rpartition(':')[2])} {shell_word(job_id)}"
