"""`jobd job retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.bulk import Verb, bulk_options, perform_bulk
from jobd.cli.click_commands import command
from jobd.operations.table import JOB_RETRY

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "retry",
    examples=[
        "jobd job retry email 7 8",
        "jobd job retry email --error '*timeout*' --since 1h     # asks first",
        "jobd job retry email --state failed --yes",
    ],
)
@bulk_options
@click.pass_obj
def retry(settings: Settings, /, queue: str, ids: tuple[str, ...], **options: Any) -> int:
    """Run failed (or completed) jobs again. Needs IDs, a filter or --all."""
    return perform_bulk(settings, Verb("retry", "retried", JOB_RETRY, "failed and completed jobs"), queue, ids, options)
