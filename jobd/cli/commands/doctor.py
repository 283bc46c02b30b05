"""`jobd doctor`: each finding with what follows from it and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.duration import format_size
from jobd.exits import Exit
from jobd.operations.table import DOCTOR
from jobd.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings
    from jobd.operations.documents.doctor import Diagnosis

_COLORS = {"error": "red", "warning": "yellow"}
_QUEUES_SHOWN = 5


@command(
    "doctor",
    examples=[
        "jobd doctor                      # this host, its Redis, the queues, other hosts; exit 1 with an error",
        "jobd doctor --redis redis://cache:6379/0",
        "jobd doctor --json | jq '.findings[].mend'",
    ],
)
@click.pass_obj
def doctor(settings: Settings) -> int:
    """Look for problems, and say how to fix them."""
    found = ask(settings, DOCTOR)
    answer(settings, found, lambda document: _lines(document, colored=settings.colored))
    return Exit.FAILED if any(finding["level"] == "error" for finding in found["findings"]) else Exit.OK


def _lines(document: Diagnosis, *, colored: bool) -> Iterator[str]:
    for finding in document["findings"]:
        level = finding["level"]
        shown = click.style(f"{level:<7}", fg=_COLORS[level]) if colored else f"{level:<7}"
        yield f"{shown}  {printable(finding['about'])}: {printable(finding['what'])}"
        yield f"{'':9}so     {printable(finding['then'])}"
        yield f"{'':9}mend   {printable(finding['mend'])}"
    if document["findings"]:
        yield ""
    yield "redis    " + ", ".join(f"{name} {printable(value)}" for name, value in document["redis"].items())
    for queue in document["queues"][:_QUEUES_SHOWN]:
        size = f"about {format_size(queue['bytes'])} for {plural(queue['jobs'], 'job')}"
        yield f"queue    {printable(queue['name'])}: {size}"
    levels = [finding["level"] for finding in document["findings"]]
    yield (
        f"{plural(levels.count('error'), 'error')}, {plural(levels.count('warning'), 'warning')}"
        if levels
        else "nothing is wrong"
    )
