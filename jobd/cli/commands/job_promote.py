"""`jobd job promote`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.bulk import Verb, bulk_options, perform_bulk
from jobd.cli.click_commands import command
from jobd.operations.table import JOB_PROMOTE

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "promote",
    examples=[
        "jobd job promote email 7",
        "jobd job promote email --name 'digest*'     # asks first",
        "jobd job promote email --all --yes",
    ],
)
@bulk_options
@click.pass_obj
def promote(settings: Settings, /, queue: str, ids: tuple[str, ...], **options: Any) -> int:
    """Run delayed jobs now, behind those already waiting. Needs IDs, a filter or --all."""
    return perform_bulk(settings, Verb("promote", "promoted", JOB_PROMOTE, "delayed jobs"), queue, ids, options)
