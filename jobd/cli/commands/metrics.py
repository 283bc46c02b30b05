"""`jobd metrics`: the text that `/metrics` serves, through the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.operations.table import METRICS

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "metrics",
    examples=[
        "jobd metrics                     # once; [daemon] http serves it to Prometheus",
        "jobd metrics | grep jobd_jobs_total",
    ],
)
@click.pass_obj
def metrics(settings: Settings) -> None:
    """Print the numbers of the daemon and of its handlers, as Prometheus reads them."""
    answer(settings, ask(settings, METRICS), lambda found: found["text"].splitlines())
