"""`jobd job wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.output import answer, json_text
from jobd.cli.params import DURATION
from jobd.cli.waiting import wait_for

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "wait",
    examples=[
        "jobd job wait email 7                  # prints the result as JSON; exit 1 when it failed",
        "jobd job wait email 7 --timeout 30s    # exit 75 when it takes longer; the job goes on",
    ],
)
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@click.option("--timeout", "timeout_ms", type=DURATION, metavar="D", help="75 when it takes longer than this.")
@click.pass_obj
def wait(settings: Settings, queue: str, job_id: str, timeout_ms: int | None) -> None:
    """Wait until a job is finished and print its result, as JSON."""
    result = wait_for(settings, queue, job_id, None if timeout_ms is None else timeout_ms / 1000)
    answer(settings, {"result": result}, lambda found: [json_text(found["result"])])
