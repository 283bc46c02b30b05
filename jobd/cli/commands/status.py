"""`jobd status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.columns import Column, cut, draw, terminal_width
from jobd.cli.output import answer
from jobd.cli.probe import probe
from jobd.duration import format_duration, format_size
from jobd.exits import Exit
from jobd.operations.table import STATUS
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings
    from jobd.operations.documents.daemon import ConfigFile, RedisState, Status
    from jobd.operations.documents.queues import Queue

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

_REASONS, _REASON_CELLS = 5, 60
"""How much of what is wrong stands in the first line: with 500 queues in trouble it would have 11 kB."""

_SERVING = ("ready", "reloading")
_ANSWER_LIMIT_S = 10.0


@command(
    "status",
    examples=[
        "jobd status                      # everything; exit 0 ready, 3 not running, 4 not ready",
        "jobd status email reports        # these queues only",
        "jobd status --json | jq .queues",
    ],
)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.pass_obj
def status(settings: Settings, queues: tuple[str, ...]) -> int:
    """Show what runs, what waits, what failed, and what differs from the file."""
    document = probe(settings, STATUS, {"queues": list(queues)}, limit_s=_ANSWER_LIMIT_S)
    if isinstance(document, Exit):
        return document
    answer(settings, document, lambda found: status_lines(found, terminal_width(), colored=settings.colored))
    return Exit.OK if document["state"] in _SERVING else Exit.NOT_READY


def status_lines(document: Status, width: int | None, *, colored: bool) -> Iterator[str]:
    """Yield the lines: the daemon, its file, a row for each queue, what differs from the file."""
    head = _daemon_line(document)
    state = document["state"]
    yield head.replace(state, click.style(state, fg=_COLORS.get(state)), 1) if colored else head
    yield _config_line(document["config"])
    if document["redis"]["error"]:
        yield f"Redis says: {printable(document['redis']['error'])}"
    if document["code"]["changed_on_disk"]:
        yield "code changed on disk, not loaded: jobd reload --code"
    queues = document["queues"]
    if queues:
        yield ""
        lines = list(draw(_COLUMNS, [queue_row(queue) for queue in queues], width))
        yield lines[0]
        for line, queue in zip(lines[1:], queues, strict=True):
            yield _with_color(line, queue) if colored else line
    for entry in document["drift"]:
        yield f"drift: {printable(entry)}"
    for entry in document.get("strangers", []):
        yield f"also: {printable(entry)}"


def _daemon_line(document: Status) -> str:
    generation = f"generation {document['generation']}"
    if document["reloaded_s"] is not None:
        generation += f" (reloaded {format_duration(1000 * document['reloaded_s'])} ago)"
    parts = [
        f"jobd {document['version']}",
        document["state"] + _reasons(document["degraded_by"]),
        f"up {format_duration(1000 * document['uptime_s'])}",
        generation,
        _redis(document["redis"]),
    ]
    return "  ".join(parts)


def _reasons(degraded_by: list[str]) -> str:
    """Return the first few reasons in brackets and how many more there are; the rows of the queues have them all."""
    if not degraded_by:
        return ""
    shown = [cut(printable(reason), _REASON_CELLS) for reason in degraded_by[:_REASONS]]
    if len(degraded_by) > _REASONS:
        shown.append(f"{len(degraded_by) - _REASONS} more")
    return f" ({', '.join(shown)})"


def _redis(redis: RedisState) -> str:
    words = ["redis"]
    if redis["version"]:
        words.append(".".join(redis["version"].split(".")[:2]))
    if redis["embedded"]:
        words.append("embedded")
    words.append(redis["url"].removeprefix("redis://").removesuffix("/0"))
    if not redis["up"]:
        words.append("DOWN")
    elif redis["latency_ms"] is not None:
        words.append(f"{redis['latency_ms']:.1f}ms")
    if redis["origin"] and redis["origin"] != "embedded":
        words.append(f"({redis['origin']})")
    return " ".join(words)


def _config_line(config: ConfigFile) -> str:
    line = f"config {config['path']}"
    if not config["changed_on_disk"]:
        return line
    since = config.get("changed_s")
    when = f" {format_duration(1000 * since)} ago" if since is not None else ""
    return f"{line}  (changed on disk{when}, not loaded: jobd plan)"


def queue_row(queue: Queue) -> list[str]:
    """Return the cells of one queue, as many as the table has columns."""
    return [
        queue["name"],
        queue["state"],
        f"{queue['slots'] // queue['concurrency']} x {queue['concurrency']}",
        f"{queue['busy']}/{queue['slots']}",
        _waiting(queue),
        _seconds(queue["oldest_waiting_s"]),
        _count(queue["delayed"]),
        _count(queue["failed"]),
        _count(queue["done_per_min"]),
        _milliseconds(queue["p95_ms"]),
        format_size(queue["memory_bytes"]) if queue["memory_bytes"] else NONE,
        _note(queue),
    ]


def _waiting(queue: Queue) -> str:
    waiting, prioritized = queue["waiting"], queue["prioritized"]
    return UNKNOWN if waiting is None else str(waiting + (prioritized or 0))


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _seconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.1f}s" if value < 1 else format_duration(1000 * value)


def _milliseconds(value: float | None) -> str:
    return NONE if value is None else format_duration(value)


def _note(queue: Queue) -> str:
    """What else to say: the daemon's own note, else why the queue takes nothing."""
    if queue["note"]:
        return queue["note"].partition("\n")[0]
    why = queue["why"]
    return "" if why in (None, "nothing_due", queue["state"]) else why.replace("_", " ")


def _with_color(line: str, queue: Queue) -> str:
    state = queue["state"]
    at = line.find(f" {state}", len(queue["name"]))
    if at < 0 or state not in _COLORS:
        return line
    return line[: at + 1] + click.style(state, fg=_COLORS[state]) + line[at + 1 + len(state) :]
