"""A question to the daemon whose answer is an exit code too: for probes and scripts, silence is an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import error_document, print_document, problem_text, warn
from jobd.errors import DaemonAway
from jobd.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.cli.settings import Settings
    from jobd.operations.operation import Operation, P, R


def probe(settings: Settings, operation: Operation[P, R], params: Mapping[str, Any], *, limit_s: float) -> R | Exit:
    """Return the document of one operation; the exit code, said why, when no daemon answers or not in time."""
    try:
        return ask(settings, operation, params, timeout=limit_s)
    except (DaemonAway, TimeoutError) as error:
        if settings.json:
            print_document(error_document(error))
        else:
            warn(problem_text(error))
        return Exit.NOT_RUNNING if isinstance(error, DaemonAway) else Exit.NOT_READY
