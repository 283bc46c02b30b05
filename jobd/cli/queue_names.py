"""The queue names of the file that a command would read: for the Tab key, and for commands without a daemon."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Iterable


class QueueName(click.ParamType):  # type: ignore[type-arg]
    """Text that names a queue; any text does, the file's names are offered."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the queues whose names go on from `incomplete`; none where no file can be read."""
        del ctx, param
        return [CompletionItem(name) for name in names_in_file() if name.startswith(incomplete)]


def complete_queues(parameters: Iterable[click.Parameter]) -> None:
    """Have the arguments among these that name queues completed."""
    for parameter in parameters:
        if isinstance(parameter, click.Argument) and parameter.name in ("queue", "queues"):
            parameter.type = QueueName()


def names_in_file(config: str | Path | None = None) -> list[str]:
    """Return the queues that the file names, in its order; none where it cannot be found or read."""
    from jobd.errors import JobdError
    from jobd.locate.files import drop_ins, find_config

    try:
        main = find_config(config, os.environ)
        files = [main, *drop_ins(main)] if main else []
        tables = [tomllib.loads(Path(file).read_text()).get("queues", {}) for file in files]
    except (JobdError, OSError, ValueError):
        return []
    return list(dict.fromkeys(name for table in tables if isinstance(table, dict) for name in table))
