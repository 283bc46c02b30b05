"""`jobd host …`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.columns import Column, draw, terminal_width
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.duration import format_duration
from jobd.operations.table import HOST_LIST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.cli.settings import Settings
    from jobd.operations.documents.hosts import HostList

_COLUMNS = (
    Column("PID", right=True),
    Column("HOST"),
    Column("APP"),
    Column("VERSION"),
    Column("GEN", right=True),
    Column("SINCE", right=True),
    Column("CONFIG"),
    Column("QUEUES"),
)


@click.group(
    "host",
    cls=Group,
    homes={"list": ("jobd.cli.commands.host:list_", "every daemon on this Redis")},
    examples=["jobd host list"],
)
def host() -> None:
    """Look at the daemons of all hosts."""


@command("list", examples=["jobd host list", "jobd host list --redis redis://127.0.0.1:6379"])
@click.pass_obj
def list_(settings: Settings) -> None:
    """List every daemon on this Redis. One that was killed stays listed for 30 seconds."""
    answer(settings, ask(settings, HOST_LIST), _lines)


def _lines(document: HostList) -> Iterable[str]:
    if not document["hosts"]:
        return ["no daemon on this Redis"]
    now_ms = time.time() * 1000
    rows = [
        [
            str(found["pid"]),
            found["host"],
            found["app"],
            found["version"],
            str(found["generation"]),
            f"{format_duration(max(0, now_ms - found['since']))} ago",
            found["config"],
            ", ".join(found["queues"]),
        ]
        for found in document["hosts"]
    ]
    return draw(_COLUMNS, rows, terminal_width())
