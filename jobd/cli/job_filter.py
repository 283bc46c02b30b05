"""The filters that choose jobs, shared by `job list`, `retry` and `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.params import DURATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATES = ("waiting", "prioritized", "delayed", "active", "completed", "failed", "waiting-children")


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --state --name --error --since --older --limit."""
    for option in (
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many."),
        click.option(
            "--older", "older_ms", type=DURATION, metavar="D", help="Finished (else started, else added) longer ago."
        ),
        click.option(
            "--since", "since_ms", type=DURATION, metavar="D", help="Finished (else started, else added) since."
        ),
        click.option("--error", metavar="GLOB", help="The failure's reason, such as '*timeout*'."),
        click.option("--name", metavar="GLOB", help="The job's name."),
        click.option("--state", type=click.Choice(STATES), metavar="STATE", help=f"One of {', '.join(STATES)}."),
    ):
        function = option(function)
    return function


def filter_params(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the filters that were given."""
    return {name: value for name, value in filters.items() if value is not None}
