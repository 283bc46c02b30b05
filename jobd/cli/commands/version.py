"""`jobd version`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import click

from jobd import __version__
from jobd.cli.click_commands import command
from jobd.cli.output import answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.settings import Settings

BULLMQ_LAYOUT = "6.7"
"""The version of BullMQ whose keys, fields and events these are."""


@command("version", examples=["jobd version", "jobd version --json"])
@click.pass_obj
def version(settings: Settings) -> None:
    """Print the versions of jobd, Python, redis-py and of BullMQ's layout in Redis."""
    from importlib.metadata import version as installed

    document = {
        "jobd": __version__,
        "python": platform.python_version(),
        "redis_py": installed("redis"),
        "bullmq_layout": BULLMQ_LAYOUT,
    }
    answer(settings, document, _lines)


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"jobd {document['jobd']}"
    yield f"python {document['python']}"
    yield f"redis-py {document['redis_py']}"
    yield f"bullmq layout {document['bullmq_layout']}"
