"""`jobd quiet` and `jobd unquiet`: this host takes no jobs, the daemon stays up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask, call, connect
from jobd.cli.output import answer
from jobd.cli.params import DURATION
from jobd.exits import Exit
from jobd.operations import table
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.settings import Settings
    from jobd.protocol.control_client import ControlClient

_ASK_EVERY_S = 0.2


@command(
    "quiet",
    examples=[
        "jobd quiet               # before maintenance: running jobs finish, nothing new starts here",
        "jobd quiet --wait 5m     # returns when nothing runs; exit 75 when something still does",
    ],
)
@click.option("--wait", "wait_ms", type=DURATION, metavar="D", help="Wait this long for running jobs.")
@click.option("--reason", metavar="TEXT", help="Stored, and shown by status.")
@click.pass_obj
def quiet(settings: Settings, wait_ms: int | None, reason: str | None) -> int:
    """Stop taking jobs on this host; running ones finish, workers stay up. Lasts until unquiet or restart."""
    with connect(settings) as daemon:
        document = call(daemon, table.QUIET, {"reason": reason})
        left = _busy(daemon)
        if wait_ms is not None:
            end = time.monotonic() + wait_ms / 1000
            while left and time.monotonic() < end:
                time.sleep(_ASK_EVERY_S)
                left = _busy(daemon)
    answer(settings, {**document, "busy": left}, _quiet_lines)
    return Exit.TIMED_OUT if left and wait_ms is not None else Exit.OK


@command("unquiet", examples=["jobd unquiet"])
@click.pass_obj
def unquiet(settings: Settings) -> int:
    """Undo `quiet`; queues that the file or `queue quiet` keeps quiet stay so."""
    document = ask(settings, table.UNQUIET)
    answer(settings, document, lambda _: ["this host takes jobs again"])
    return Exit.OK


def _busy(daemon: ControlClient) -> int:
    return sum(queue["busy"] for queue in call(daemon, table.STATUS)["queues"])


def _quiet_lines(document: Mapping[str, Any]) -> Iterator[str]:
    runs = f"; {plural(document['busy'], 'job')} still running" if document["busy"] else "; nothing runs"
    yield f"this host is quiet{runs}. Undo with: jobd unquiet"
