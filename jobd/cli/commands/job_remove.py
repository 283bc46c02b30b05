"""`jobd job remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.bulk import Verb, bulk_options, perform_bulk
from jobd.cli.click_commands import command
from jobd.operations.table import JOB_REMOVE

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "remove",
    examples=[
        "jobd job remove email 7",
        "jobd job remove email --state completed --older 7d --dry-run",
        "jobd job remove email --name 'digest*' --yes",
    ],
)
@bulk_options
@click.pass_obj
def remove(settings: Settings, /, queue: str, ids: tuple[str, ...], **options: Any) -> int:
    """Delete jobs that are not running. Needs IDs, a filter or --all."""
    return perform_bulk(
        settings,
        Verb(
            "remove",
            "removed",
            JOB_REMOVE,
            "jobs that no worker runs (to end one: jobd job cancel) and that are not the next of a schedule",
        ),
        queue,
        ids,
        options,
    )
