"""`jobd top`: the full-screen view."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.errors import Refused

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "top",
    examples=[
        "jobd top                                 # queues, workers, the log, live; ? shows the keys",
        "jobd top --redis redis://cache:6379/0    # any BullMQ Redis, without a daemon",
    ],
)
@click.pass_obj
def top(settings: Settings) -> None:
    """Show everything live on the full screen, and act on it. It asks before it changes anything."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; for programs there is: jobd status --json")
    try:
        from jobd.cli.top.app import Top
        from jobd.cli.top.ascii_drawing import draw_plainly
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        text = f"no module {error.name}; top needs the tui extra: pip install '.[daemon,tui]' in a clone of jobd"
        raise Refused("extra-missing", text) from None
    draw_plainly()
    view = Top(settings)
    try:
        view.run()
    finally:
        view.close()
