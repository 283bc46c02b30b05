"""`jobd status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.output import answer, error_document, print_document, problem_text, warn
from jobd.cli.reach import ask_daemon
from jobd.cli.status_text import status_lines
from jobd.cli.table import terminal_width
from jobd.errors import DaemonAway
from jobd.exits import Exit

if TYPE_CHECKING:
    from jobd.cli.settings import Settings

_SERVING = ("ready", "reloading")
_ANSWER_LIMIT_S = 10.0


@command(
    "status",
    examples=[
        "jobd status                      # everything; exit 0 ready, 3 not running, 4 not ready",
        "jobd status email reports        # these queues only",
        "jobd status --json | jq .queues",
    ],
)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.pass_obj
def status(settings: Settings, queues: tuple[str, ...]) -> int:
    """Show what runs, what waits, what failed, and what differs from the file."""
    try:
        document = ask_daemon(settings, "status", {"queues": list(queues)}, timeout=_ANSWER_LIMIT_S)
    except (DaemonAway, TimeoutError) as error:
        if settings.json:
            print_document(error_document(error))
        else:
            warn(problem_text(error))
        return Exit.NOT_RUNNING if isinstance(error, DaemonAway) else Exit.NOT_READY
    answer(settings, document, lambda found: status_lines(found, terminal_width(), colored=settings.colored))
    return Exit.OK if document["state"] in _SERVING else Exit.NOT_READY
