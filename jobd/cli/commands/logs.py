"""`jobd logs`: the daemon's own memory of its last lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import session, subscribed
from jobd.cli.log_lines import line_of
from jobd.cli.output import leave_with_reader, print_entry, warn
from jobd.cli.params import DURATION
from jobd.operations.table import LOGS
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings

LEVELS = ("debug", "info", "warning", "error")


@command(
    "logs",
    examples=[
        "jobd logs -f                          # what is remembered, then live",
        "jobd logs email --since 10m --level warning",
        "jobd logs --job 7 --json",
        "jobd logs --grep Traceback",
    ],
)
@click.argument("queue", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
@click.option("--job", metavar="ID", help="Only lines about this job.")
@click.option("--worker", metavar="PID", type=click.IntRange(min=1), help="Only lines about the worker with this pid.")
@click.option("--since", "since_ms", type=DURATION, metavar="D", help="Not older than this.")
@click.option("--level", type=click.Choice(LEVELS), help="This level and above.")
@click.option("--grep", metavar="TEXT", help="Only lines that contain this text.")
@click.pass_obj
def logs(settings: Settings, /, follow: bool, **search: Any) -> None:
    """Print the last lines of the daemon's log, 8 MiB at most, wherever else it writes them."""
    asked = {name: value for name, value in search.items() if value is not None}
    if follow:
        leave_with_reader()
    for entry, missed in (subscribed(settings, LOGS, asked) or ()) if follow else _remembered(settings, asked):
        if missed:
            warn(f"({plural(missed, 'line')} came too fast to be shown)")
        if entry is not None:
            print_entry(settings, entry, lambda one: line_of(one, colored=settings.colored))


def _remembered(settings: Settings, asked: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    with session(settings, LOGS) as ask:
        cursor, more = 0, True
        while more:
            found = ask({**asked, "after": cursor})
            yield None, found["missed"]
            yield from ((entry, 0) for entry in found["lines"])
            cursor, more = found["cursor"], found["more"]
