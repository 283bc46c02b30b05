"""`jobd worker …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.output import answer
from jobd.cli.reach import ask_daemon
from jobd.cli.table import Column, draw, terminal_width
from jobd.duration import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobd.cli.settings import Settings

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
    answer(settings, ask_daemon(settings, "worker.list"), _lines)


def _lines(document: Mapping[str, Any]) -> Iterable[str]:
    workers = document["workers"]
    return draw(_COLUMNS, [_row(found) for found in workers], terminal_width()) if workers else ["no workers"]


def _row(found: Mapping[str, Any]) -> list[str]:
    jobs = ", ".join(
        f"{job.get('id') or '?'} {job.get('name')} {format_duration(1000 * (job.get('running_s') or 0))}"
        for job in found.get("jobs") or []
    )
    return [
        str(found.get("pid") or "-"),
        str(found.get("queue") or ""),
        str(found["state"]),
        str(found.get("generation", "")),
        str(found.get("busy", 0)),
        str(found.get("jobs_done", 0)),
        str(found.get("restarts", 0)),
        format_duration(1000 * (found.get("uptime_s") or 0)),
        format_size(found["memory_bytes"]) if found.get("memory_bytes") else "-",
        jobs,
    ]
