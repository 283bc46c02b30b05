"""The text of `jobd status`, drawn from its document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.table import Column, draw
from jobd.duration import format_duration, format_size
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Document = Mapping[str, Any]

_COLUMNS = (
    Column("QUEUE"),
    Column("STATE"),
    Column("WORKERS", spare=1),
    Column("BUSY", right=True),
    Column("WAIT", right=True),
    Column("OLDEST", right=True, spare=3),
    Column("DELAYED", right=True, spare=4),
    Column("FAILED", right=True),
    Column("DONE/min", right=True, spare=2),
    Column("P95", right=True, spare=5),
    Column("MEM", right=True, spare=6),
    Column(""),
)
_COLORS = {"ready": "green", "running": "green", "degraded": "red", "breaker": "red", "paused": "yellow",
           "quiet": "yellow", "draining": "yellow", "starting": "yellow", "reloading": "yellow"}  # fmt: skip
UNKNOWN = "?"
"""A count that Redis could not be asked for."""
NONE = "-"


def status_lines(document: Document, width: int | None, *, colored: bool) -> Iterator[str]:
    """Yield the lines: the daemon, its file, a row for each queue, what differs from the file."""
    head = _daemon_line(document)
    state = str(document["state"])
    yield head.replace(state, click.style(state, fg=_COLORS.get(state)), 1) if colored else head
    config = _config_line(document.get("config") or {})
    if config:
        yield config
    if (document.get("code") or {}).get("changed_on_disk"):
        yield "code changed on disk, not loaded: jobd reload --code"
    queues = document.get("queues") or []
    if queues:
        yield ""
        lines = list(draw(_COLUMNS, [queue_row(queue) for queue in queues], width))
        yield lines[0]
        for line, queue in zip(lines[1:], queues, strict=True):
            yield _with_color(line, queue) if colored else line
    for entry in document.get("drift") or []:
        yield f"drift: {printable(entry)}"


def _daemon_line(document: Document) -> str:
    reasons = ", ".join(printable(reason) for reason in document.get("degraded_by") or [])
    generation = f"generation {document.get('generation')}"
    reloaded = document.get("reloaded_s")
    if reloaded is not None:
        generation += f" (reloaded {format_duration(1000 * reloaded)} ago)"
    parts = [
        f"jobd {document.get('version')}",
        str(document["state"]) + (f" ({reasons})" if reasons else ""),
        f"up {format_duration(1000 * (document.get('uptime_s') or 0))}",
        generation,
        _redis(document.get("redis") or {}),
    ]
    return "  ".join(part for part in parts if part)


def _redis(redis: Document) -> str:
    words = ["redis"]
    if redis.get("version"):
        words.append(".".join(str(redis["version"]).split(".")[:2]))
    if redis.get("embedded"):
        words.append("embedded")
    words.append(str(redis.get("url")).removeprefix("redis://").removesuffix("/0"))
    if not redis.get("up"):
        words.append("DOWN")
    elif redis.get("latency_ms") is not None:
        words.append(f"{redis['latency_ms']:.1f}ms")
    if redis.get("origin"):
        words.append(f"({redis['origin']})")
    return " ".join(words)


def _config_line(config: Document) -> str:
    if not config.get("path"):
        return ""
    line = f"config {config['path']}"
    if not config.get("changed_on_disk"):
        return line
    since = config.get("changed_s")
    when = f" {format_duration(1000 * since)} ago" if since is not None else ""
    return f"{line}  (changed on disk{when}, not loaded: jobd plan)"


def queue_row(queue: Document) -> list[str]:
    """Return the cells of one queue, as many as the table has columns."""
    workers = [worker for worker in queue.get("workers") or [] if worker.get("pid")]
    concurrency = queue.get("concurrency")
    count = queue.get("slots", 0) // concurrency if concurrency else len(workers)
    return [
        str(queue["name"]),
        str(queue["state"]),
        f"{count} x {concurrency}" if concurrency else str(count),
        f"{queue.get('busy', 0)}/{queue.get('slots', 0)}",
        _waiting(queue),
        _seconds(queue.get("oldest_waiting_s")),
        _count(queue.get("delayed")),
        _count(queue.get("failed")),
        _count(queue.get("done_per_min"), NONE),
        _milliseconds(queue.get("p95_ms")),
        _memory(queue, workers),
        _note(queue),
    ]


def _waiting(queue: Document) -> str:
    waiting, prioritized = queue.get("waiting"), queue.get("prioritized")
    return UNKNOWN if waiting is None else str(waiting + (prioritized or 0))


def _count(value: Any, missing: str = UNKNOWN) -> str:
    return missing if value is None else str(value)


def _seconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.1f}s" if value < 1 else format_duration(1000 * value)


def _milliseconds(value: float | None) -> str:
    return NONE if value is None else format_duration(value)


def _memory(queue: Document, workers: list[Document]) -> str:
    size = queue.get("memory_bytes")
    if size is None:
        size = sum(worker.get("memory_bytes") or 0 for worker in workers)
    return format_size(size) if size else NONE


def _note(queue: Document) -> str:
    """What else to say: the daemon's own note, else why the queue takes nothing."""
    if queue.get("note"):
        return str(queue["note"])
    why = queue.get("why")
    return "" if why in (None, "nothing_due", queue["state"]) else str(why).replace("_", " ")


def _with_color(line: str, queue: Document) -> str:
    state = str(queue["state"])
    at = line.find(f" {state}", len(str(queue["name"])))
    if at < 0 or state not in _COLORS:
        return line
    return line[: at + 1] + click.style(state, fg=_COLORS[state]) + line[at + 1 + len(state) :]
