"""`jobd job change`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.cli.params import DURATION, read_payload
from jobd.operations.table import JOB_CHANGE
from jobd.words import printable

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "change",
    examples=[
        "jobd job change email 7 --delay 10m           # due ten minutes from now",
        "jobd job change email 7 --priority 1 --lifo   # before the others of priority 1",
        "jobd job change email 7 --data @fixed.json    # then: jobd job retry email 7",
    ],
)
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@click.option("--delay", "delay_ms", type=DURATION, metavar="D", help="A delayed job is due this long from now.")
@click.option("--priority", type=int, metavar="N", help="1 runs first, 0 is none.")
@click.option("--lifo", is_flag=True, help="With --priority: before its equals.")
@click.option("--data", metavar="JSON|-|@FILE", help="Instead of the data it has.")
@click.pass_obj
def change(settings: Settings, /, queue: str, job_id: str, data: str | None, **options: Any) -> None:
    """Change when a delayed job is due, a job's priority or its data, without adding it again."""
    payload = None if data is None else read_payload(data)
    if payload is None and options["delay_ms"] is None and options["priority"] is None:
        raise click.UsageError("nothing to change: give --delay, --priority or --data")
    found = ask(settings, JOB_CHANGE, {"queue": queue, "id": job_id, "data": payload, **options})
    answer(settings, found, lambda done: [f"changed {' and '.join(done['changed'])} of job {printable(job_id)}"])
