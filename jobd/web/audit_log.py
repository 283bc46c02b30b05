"""The page's own log: one line for each change, with the user's name and never with job data."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.operations.operation import Operation


class AuditLog:
    """Writes to stderr, or where it is told: the journal has it from there."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    def asked(self, user: str, operation: Operation[Any, Any], params: Mapping[str, Any]) -> None:
        """Write that a change was asked for."""
        given = {name: params[name] for name in operation.logged if params.get(name)}
        told = {name: len(value) if isinstance(value, list) else value for name, value in given.items()}
        self._write("change asked for", method=operation.name, by=user, **told)

    def refused(self, user: str, operation: Operation[Any, Any], reason: str) -> None:
        """Write that it was refused."""
        self._write("change refused", method=operation.name, by=user, reason=reason)

    def _write(self, event: str, **fields: object) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        words = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
        print(f"{now} {event} {words}", file=self._out or sys.stderr, flush=True)


def _word(value: object) -> str:
    text = printable(value)
    return f'"{text}"' if not text or " " in text or '"' in text or "=" in text else text
