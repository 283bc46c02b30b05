"""`jobd events`: BullMQ's event streams, merged in order of time."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.columns import cut
from jobd.cli.daemon_or_redis import session, subscribed
from jobd.cli.output import leave_with_reader, print_entry
from jobd.engine.trouble import passes
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.operations.table import EVENTS
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.settings import Settings

_WAIT_MS = 1000
_PAUSE_S = 0.5
_VALUE_CELLS = 200
"""A result or progress may have megabytes; --json has all of it."""
_IN_THE_HEAD = ("time", "queue", "event", "jobId")
_COLORS = {"failed": "red", "stalled": "red", "retries-exhausted": "red", "completed": "green"}


@command(
    "events",
    examples=[
        "jobd events -f                        # all queues, the last ones and then live",
        "jobd events email reports --name failed",
        "jobd events email --job 7 --json",
    ],
)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option("-f", "--follow", is_flag=True, help="The latest ones, then new ones as they come.")
@click.option("--name", metavar="GLOB", help="Of this name: added, active, completed, failed, …")
@click.option("--job", metavar="ID", help="Of this job.")
@click.pass_obj
def events(settings: Settings, queues: tuple[str, ...], follow: bool, name: str | None, job: str | None) -> None:
    """Print what happened to the jobs of queues, as far back as BullMQ's streams go (10,000 events per queue)."""
    if follow:
        leave_with_reader()
    wanted = {"name": name, "job": job}
    asked: dict[str, Any] = {"queues": list(queues), "oldest": not follow or job is not None}
    live = subscribed(settings, EVENTS, {**wanted, **asked}) if follow else None
    entries = (entry for entry, _ in live) if live is not None else _read(settings, wanted, asked, follow=follow)
    for entry in entries:
        print_entry(settings, entry, lambda one: line_of(one, colored=settings.colored))


def _read(
    settings: Settings, wanted: Mapping[str, Any], asked: dict[str, Any], *, follow: bool
) -> Iterator[Mapping[str, Any]]:
    """Yield what the streams have; from Redis itself, which has no subscriptions, also what comes."""
    with session(settings, EVENTS) as ask:
        more, waits = True, False
        while more or follow:
            try:
                found = ask({**wanted, **asked})
            except (RedisUnavailable, RedisRefused) as error:
                if not follow or "after" not in asked or not passes(error):
                    raise
                if not waits:
                    waits = True
                    click.echo(f"{error}; waiting for it", err=True)
                time.sleep(_PAUSE_S)
                continue
            waits = False
            yield from found["events"]
            more = found["more"]
            if not found["after"]:
                return  # there is no queue
            asked = {"after": found["after"], "wait_ms": None if more else _WAIT_MS}


def line_of(entry: Mapping[str, Any], *, colored: bool = False) -> str:
    """Return one line for people: time, queue, event, job, then what the stream has beside it."""
    moment = datetime.fromisoformat(entry["time"]).astimezone()
    name = printable(entry["event"])
    shown = f"{name:<11}"
    if colored and name in _COLORS:
        shown = click.style(shown, fg=_COLORS[name])
    words = [f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}", printable(entry["queue"]), shown]
    words += [printable(entry["jobId"])] if entry["jobId"] is not None else []
    words += [
        f"{printable(field)}={cut(printable(value), _VALUE_CELLS)}"
        for field, value in entry.items()
        if field not in _IN_THE_HEAD
    ]
    return " ".join(words)
