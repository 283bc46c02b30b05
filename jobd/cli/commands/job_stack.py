"""`jobd job stack`: where a running job is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.operations.table import JOB_STACK

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command("stack", examples=["jobd job stack email 7      # which line it is at"])
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@click.pass_obj
def stack(settings: Settings, queue: str, job_id: str) -> None:
    """Show the stack of a job that runs on this host."""
    found = ask(settings, JOB_STACK, {"queue": queue, "id": job_id})
    answer(settings, found, lambda document: document["stack"].splitlines())
