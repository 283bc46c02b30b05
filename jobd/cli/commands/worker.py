"""`jobd worker …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.output import answer
from jobd.cli.reach import ask
from jobd.cli.table import Column, draw, terminal_width
from jobd.duration import format_duration, format_size
from jobd.operations.table import WORKER_LIST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.cli.settings import Settings
    from jobd.operations.documents import Worker, WorkerList

_COLUMNS = (
    Column("PID", right=True),
    Column("QUEUE"),
    Column("STATE"),
    Column("GEN", right=True, spare=3),
    Column("BUSY", right=True),
    Column("DONE", right=True),
    Column("RESTARTS", right=True, spare=2),
    Column("UP", right=True, spare=1),
    Column("MEM", right=True, spare=4),
    Column("JOBS"),
)


@click.group(
    "worker",
    cls=Group,
    homes={"list": ("jobd.cli.commands.worker:list_", "every worker process of this host")},
    examples=["jobd worker list"],
)
def worker() -> None:
    """Look at the worker processes of this host."""


@command("list", examples=["jobd worker list", "jobd worker list --json | jq '.workers[].pid'"])
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the worker processes and what they run."""
    answer(settings, ask(settings, WORKER_LIST), _lines)


def _lines(document: WorkerList) -> Iterable[str]:
    workers = document["workers"]
    return draw(_COLUMNS, [_row(found) for found in workers], terminal_width()) if workers else ["no workers"]


def _row(found: Worker) -> list[str]:
    jobs = ", ".join(
        f"{job['id'] or '?'} {job['name']} {format_duration(1000 * job['running_s'])}" for job in found["jobs"]
    )
    return [
        str(found["pid"] or "-"),
        found["queue"],
        found["state"],
        str(found["generation"]),
        str(found["busy"]),
        str(found["jobs_done"]),
        str(found["restarts"]),
        format_duration(1000 * found["uptime_s"]),
        format_size(found["memory_bytes"]) if found["memory_bytes"] else "-",
        jobs,
    ]
