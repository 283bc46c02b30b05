"""`jobd job …`: look at jobs; each verb that changes them is a file job_….py."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.bulk import filter_options, given_filters
from jobd.cli.click_commands import Group, command
from jobd.cli.columns import Column, draw, terminal_width
from jobd.cli.daemon_or_redis import ask, redis_is_in_reach
from jobd.cli.job_timeline import timeline
from jobd.cli.output import answer
from jobd.duration import format_duration
from jobd.operations.table import JOB_LIST, JOB_LOGS, JOB_SHOW
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.cli.settings import Settings
    from jobd.operations.documents.jobs import Job, JobList

_HERE = "jobd.cli.commands.job"
_COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("STATE"),
    Column("ATTEMPTS", right=True, spare=1),
    Column("AGE", right=True, spare=2),
    Column(""),
)


@click.group(
    "job",
    cls=Group,
    homes={
        "add": ("jobd.cli.commands.job_add:add", "add a job, with --wait also its result"),
        "list": (f"{_HERE}:list_", "jobs of a queue, by state, name, error, age"),
        "show": (f"{_HERE}:show", "everything about one job"),
        "logs": (f"{_HERE}:logs", "what a job logged"),
        "stack": ("jobd.cli.commands.job_stack:stack", "which line a running job is at"),
        "wait": ("jobd.cli.commands.job_wait:wait", "the result of a job, once it has one"),
        "retry": ("jobd.cli.commands.job_retry:retry", "run finished jobs again"),
        "promote": ("jobd.cli.commands.job_promote:promote", "run delayed jobs now"),
        "change": ("jobd.cli.commands.job_change:change", "when it is due, its priority, its data"),
        "cancel": ("jobd.cli.commands.job_cancel:cancel", "let jobs run no more, running ones too"),
        "remove": ("jobd.cli.commands.job_remove:remove", "delete jobs that do not run"),
    },
    examples=[
        "jobd job add email welcome '{\"userId\": 7}' --wait",
        "jobd job list email --state failed --since 1h",
        "jobd job retry email --error '*timeout*'",
    ],
)
def job() -> None:
    """Add jobs, look at them, run them again or now, cancel and remove them."""


@command(
    "list",
    examples=[
        "jobd job list email",
        "jobd job list email --state failed --error '*timeout*' --since 1h",
        "jobd job list email --json | jq '.jobs[].id'",
    ],
)
@click.argument("queue")
@filter_options
@click.option("--offset", type=click.IntRange(min=0), metavar="N", help="Skip this many matching jobs.")
@click.pass_obj
def list_(settings: Settings, /, queue: str, **filters: Any) -> None:
    """List jobs of a queue; without a filter, jobs of every state."""
    answer(settings, ask(settings, JOB_LIST, {"queue": queue, **given_filters(filters)}), _list_lines)


@command("show", examples=["jobd job show email 7", "jobd job show email 7 --json | jq .job.data"])
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@click.pass_obj
def show(settings: Settings, queue: str, job_id: str) -> None:
    """Show a job's whole history: when it was added, who ran it, how each attempt ended, and what to type next."""
    params = {"queue": queue, "id": job_id}
    document = ask(settings, JOB_SHOW, params)
    if document["job"].get("cut") and not settings.redis and redis_is_in_reach(settings):
        # A daemon leaves out what would hold its loop; read here it costs nobody's locks.
        from jobd.cli.direct import perform

        document = perform(settings, JOB_SHOW, params)
    answer(settings, document, lambda found: timeline(found["job"]))


@command("logs", examples=["jobd job logs email 7"])
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@click.pass_obj
def logs(settings: Settings, queue: str, job_id: str) -> None:
    """Print the log lines of a job, oldest first."""
    found = ask(settings, JOB_LOGS, {"queue": queue, "id": job_id})
    answer(settings, found, lambda document: (printable(line) for line in document["lines"]))


def _list_lines(document: JobList) -> Iterable[str]:
    jobs = document["jobs"]
    if not jobs:
        return ["no jobs"]
    lines = list(draw(_COLUMNS, [_row(found) for found in jobs], terminal_width()))
    return [*lines, "more follow: --offset, --limit"] if document.get("more") else lines


def _row(found: Job) -> list[str]:
    made = found.get("timestamp")
    age = format_duration(max(0.0, 1000 * time.time() - made)) if made else ""
    reason = (found.get("failed_reason") or "").partition("\n")[0]
    return [
        str(found["id"]), str(found.get("name") or ""), str(found.get("state") or ""),
        str(found.get("attempts_made", "")), age, reason,
    ]  # fmt: skip
