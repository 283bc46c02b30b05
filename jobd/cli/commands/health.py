"""`jobd health`: for probes, so it imports next to nothing and never waits long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.output import answer
from jobd.cli.probe import probe
from jobd.exits import Exit
from jobd.operations.table import HEALTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings
    from jobd.operations.documents.daemon import Health

_ANSWER_LIMIT_S = 5.0
"""A loop that turns answers in milliseconds; one that has not turned for ten seconds is not live."""


@command(
    "health",
    examples=[
        "jobd health              # 0 running and ready, 3 not running, 4 running but not ready",
        "jobd health --live       # 0 while the daemon's loop turns, whatever Redis does",
    ],
)
@click.option("--live", "kind", flag_value="live", help="The daemon's loop turned in the last 10 s.")
@click.option("--ready", "kind", flag_value="ready", help="Every queue of this host is served.")
@click.pass_obj
def health(settings: Settings, kind: str | None) -> int:
    """Tell whether the daemon is running and ready, by the exit code."""
    document = probe(settings, HEALTH, {"kind": kind}, limit_s=_ANSWER_LIMIT_S)
    if isinstance(document, Exit):
        return document
    answer(settings, document, _lines)
    return Exit.OK if document["live" if kind == "live" else "ready"] else Exit.NOT_READY


def _lines(document: Health) -> Iterator[str]:
    state, why = document["state"], (document["why"] or "").removeprefix(f"{document['state']}: ")
    yield f"{state} ({why})" if why else state
