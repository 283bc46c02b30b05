"""`jobd schedule …`: what is run again and again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.columns import Column, draw, terminal_width
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.duration import format_duration, spell_duration
from jobd.errors import InputError
from jobd.operations import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from jobd.cli.settings import Settings
    from jobd.operations.documents.schedules import ScheduleList, ScheduleNext, ScheduleRow

_HERE = "jobd.cli.commands.schedule"
_COLUMNS = (
    Column("SCHEDULE"), Column("QUEUE"), Column("JOB", spare=2), Column("WHEN"), Column("STATE"),
    Column("NEXT", right=True), Column("LAST", right=True, spare=1), Column("FROM", spare=3),
)  # fmt: skip


@click.group(
    "schedule",
    cls=Group,
    homes={
        "list": (f"{_HERE}:list_", "every schedule, when it is due, who made it"),
        "run": (f"{_HERE}:run", "add its job now"),
        "pause": (f"{_HERE}:pause", "stop it from making jobs; survives restarts"),
        "resume": (f"{_HERE}:resume", "undo pause"),
        "next": (f"{_HERE}:next_", "when it is due, this time and the following ones"),
    },
    examples=["jobd schedule list", "jobd schedule run nightly", "jobd schedule next nightly -n 5"],
)
def schedule() -> None:
    """Look at schedules, run, pause and resume them: those of the file, and any that Node or a client made."""


def _queue_option(function: Callable[..., Any]) -> Callable[..., Any]:
    text = "Its queue, if several have a schedule of that name."
    return click.option("--queue", metavar="Q", help=text)(function)


@command("list", examples=["jobd schedule list", "jobd schedule list --queue reports --json"])
@click.option("--queue", metavar="Q", help="Only those of this queue.")
@click.pass_obj
def list_(settings: Settings, queue: str | None) -> None:
    """List the schedules with when they are due, the next one first."""
    answer(settings, ask(settings, table.SCHEDULE_LIST, {"queue": queue}), _list_lines)


@command("run", examples=["jobd schedule run nightly     # its job is added now, the schedule goes on as ever"])
@click.argument("name")
@_queue_option
@click.pass_obj
def run(settings: Settings, name: str, queue: str | None) -> None:
    """Add a job as the schedule would, now."""
    found = ask(settings, table.SCHEDULE_RUN, {"name": name, "queue": queue})
    answer(
        settings,
        found,
        lambda one: [f"added {one['queue']} {one['id']}; see: jobd job show {one['queue']} {one['id']}"],
    )


@command("pause", examples=["jobd schedule pause nightly"])
@click.argument("name")
@_queue_option
@click.pass_obj
def pause(settings: Settings, name: str, queue: str | None) -> None:
    """Stop a schedule from making jobs, on any host and in any language, until it is resumed. Survives restarts."""
    found = ask(settings, table.SCHEDULE_PAUSE, {"name": name, "queue": queue})
    answer(settings, found, lambda _: [f"{name} is paused; resume with: jobd schedule resume {name}"])


@command("resume", examples=["jobd schedule resume nightly"])
@click.argument("name")
@_queue_option
@click.pass_obj
def resume(settings: Settings, name: str, queue: str | None) -> None:
    """Undo `schedule pause`: an interval keeps its rhythm; runs that were due in the meantime are skipped."""
    found = ask(settings, table.SCHEDULE_RESUME, {"name": name, "queue": queue})
    answer(settings, found, lambda one: [f"{name} runs; next {_moment(one['schedule'])}"])


@command("next", examples=["jobd schedule next nightly -n 5"])
@click.argument("name")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, metavar="N", help="How many due times; 5.")
@_queue_option
@click.pass_obj
def next_(settings: Settings, name: str, count: int, queue: str | None) -> None:
    """Show when a schedule is due next, in its own time zone."""
    found = ask(settings, table.SCHEDULE_NEXT, {"name": name, "queue": queue, "count": count})
    answer(settings, found, _next_lines)


def _list_lines(document: ScheduleList) -> Iterable[str]:
    rows = document["schedules"]
    if not rows:
        return ["no schedules"]
    now_ms = time.time() * 1000
    cells = [
        [
            row["name"], row["queue"], row["job"], _when(row), row["state"], _in(row["next_at"], now_ms),
            _ago(row["last_at"], now_ms), _origin(row),
        ]
        for row in rows
    ]  # fmt: skip
    return draw(_COLUMNS, cells, terminal_width())


def _next_lines(document: ScheduleNext) -> Iterable[str]:
    row, now_ms = document["schedule"], time.time() * 1000
    if not document["next"]:
        return [f"{row['name']} is {row['state']}: no run comes"]
    return [f"{_told(moment, row['timezone'])}  {_in(moment, now_ms)}" for moment in document["next"]]


def _when(row: ScheduleRow) -> str:
    if row["cron"] is None:
        return f"every {spell_duration(row['every_ms'] or 0)}"
    return f"{row['cron']}  {row['timezone'] or '(zone of the worker)'}"


def _origin(row: ScheduleRow) -> str:
    if row["app"] is None:
        return "Node or a client"
    return f"{row['app']} {row['place'] or ''}".rstrip()


def _moment(row: ScheduleRow) -> str:
    return "never" if row["next_at"] is None else _told(row["next_at"], row["timezone"])


def _told(moment_ms: int, timezone: str | None) -> str:
    from jobd.engine.cron import zone

    try:
        where = zone(timezone or "UTC")
    except InputError:
        where = UTC  # one that this machine does not know
    return datetime.fromtimestamp(moment_ms / 1000, where).isoformat(sep=" ", timespec="seconds")


def _ago(moment_ms: int | None, now_ms: float) -> str:
    return "-" if moment_ms is None else f"{format_duration(max(0.0, now_ms - moment_ms))} ago"


def _in(moment_ms: int | None, now_ms: float) -> str:
    if moment_ms is None:
        return "-"
    away = moment_ms - now_ms
    return f"in {format_duration(away)}" if away > 0 else f"due {format_duration(-away)} ago"
