"""`jobd worker …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.columns import Column, draw, fields, terminal_width
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.duration import format_duration, format_size
from jobd.operations.table import WORKER_KILL, WORKER_LIST, WORKER_RESTART, WORKER_SHOW, WORKER_STACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.cli.settings import Settings
    from jobd.operations.documents.workers import RunningJob, Worker, WorkerKilled, WorkerList, WorkerShown

_HERE = "jobd.cli.commands.worker"
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
    homes={
        "list": (f"{_HERE}:list_", "every worker process of this host"),
        "show": (f"{_HERE}:show", "one worker"),
        "stack": (f"{_HERE}:stack", "which line each of its threads and tasks is at"),
        "restart": (f"{_HERE}:restart", "replace it; the new one is ready first"),
        "kill": (f"{_HERE}:kill", "end it at once; its jobs go back, uncounted"),
    },
    examples=["jobd worker list", "jobd worker stack 4711", "jobd worker restart 4711"],
)
def worker() -> None:
    """Look at the worker processes of this host, replace or kill one."""


_pid = click.argument("pid", type=click.IntRange(min=1))


@command("list", examples=["jobd worker list", "jobd worker list --json | jq '.workers[].pid'"])
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the worker processes and what they run."""
    answer(settings, ask(settings, WORKER_LIST), _lines)


@command("show", examples=["jobd worker show 4711"])
@_pid
@click.pass_obj
def show(settings: Settings, pid: int) -> None:
    """Show one worker and what it runs."""
    answer(settings, ask(settings, WORKER_SHOW, {"pid": pid}), _shown)


@command("stack", examples=["jobd worker stack 4711"])
@_pid
@click.pass_obj
def stack(settings: Settings, pid: int) -> None:
    """Show the stacks of all threads and tasks of a worker."""
    answer(settings, ask(settings, WORKER_STACK, {"pid": pid}), lambda found: found["stack"].splitlines())


@command("restart", examples=["jobd worker restart 4711"])
@_pid
@click.pass_obj
def restart(settings: Settings, pid: int) -> None:
    """Replace a worker once the new one is ready; the old one's jobs may go on for `grace`."""
    found = ask(settings, WORKER_RESTART, {"pid": pid})
    answer(settings, found, lambda new: [f"{new['queue']}: worker {new['pid']} is ready in place of {new['was']}"])


@command("kill", examples=["jobd worker kill 4711"])
@_pid
@click.pass_obj
def kill(settings: Settings, pid: int) -> None:
    """Kill a worker; its jobs go back to the front of their queue, and the death is not counted."""
    answer(settings, ask(settings, WORKER_KILL, {"pid": pid}), _killed)


def _killed(found: WorkerKilled) -> list[str]:
    jobs = f"; back in the queue: {', '.join(found['jobs'])}" if found["jobs"] else "; it ran nothing"
    return [f"{found['queue']}: worker {found['pid']} is killed{jobs}"]


def _shown(document: WorkerShown) -> Iterable[str]:
    found = document["worker"]
    jobs = ", ".join(_job(job) for job in found["jobs"])
    return fields(
        {
            **found,
            "loop": document["loop"],
            "uptime_s": format_duration(1000 * found["uptime_s"]),
            "jobs": jobs or "none",
        }
    )


def _lines(document: WorkerList) -> Iterable[str]:
    workers = document["workers"]
    return draw(_COLUMNS, [_row(found) for found in workers], terminal_width()) if workers else ["no workers"]


def _job(job: RunningJob) -> str:
    return f"{job['id'] or '?'} {job['name']} {format_duration(1000 * job['running_s'])}"


def _row(found: Worker) -> list[str]:
    jobs = ", ".join(_job(job) for job in found["jobs"])
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
