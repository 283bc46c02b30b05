"""`jobd job cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.bulk import Verb, bulk_options, perform_bulk
from jobd.cli.click_commands import command
from jobd.operations.table import JOB_CANCEL

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "cancel",
    examples=[
        "jobd job cancel email 7                    # waiting: it has failed; running: its handler is stopped",
        "jobd job cancel video --running 10m        # asks first",
        "jobd job cancel email --name 'digest*' --state delayed --yes",
    ],
)
@bulk_options
@click.pass_obj
def cancel(settings: Settings, /, queue: str, ids: tuple[str, ...], **options: Any) -> int:
    """Stop jobs for good: waiting ones fail, running ones are stopped on any host, none is retried."""
    return perform_bulk(
        settings, Verb("cancel", "cancelled", JOB_CANCEL, "jobs that have not ended"), queue, ids, options
    )
