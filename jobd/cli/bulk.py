"""Commands for many jobs at once: which ones, the count told before anything happens, one report."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer, warn
from jobd.cli.params import DURATION
from jobd.cli.progress_bar import bar
from jobd.errors import JobdError, NotThere, Refused
from jobd.exits import Exit
from jobd.operations.table import JOB_SHOW
from jobd.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jobd.cli.settings import Settings
    from jobd.operations.operation import Operation
    from jobd.operations.params.jobs import Which

STATES = ("waiting", "prioritized", "delayed", "active", "completed", "failed", "waiting-children")

_BATCH_BYTES = 256 * 1024
"""Ids of one request, a quarter of the 1 MiB of a line: a character may need six bytes there."""

_TOLD_ALONE = 10
"""At most this many ids that were left are looked up one by one: a person typed them and wants to know why."""


class Verb(NamedTuple):
    """What is done to jobs: "retry", "retried", the operation that does it, and whom it takes ("only … jobs")."""

    name: str
    past: str
    operation: Operation[Which, Any]
    takes: str


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --state --name --error --since --older --running --limit."""
    for option in (
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many."),
        click.option("--running", "running_ms", type=DURATION, metavar="D", help="Active for longer than this."),
        click.option(
            "--older",
            "older_ms",
            type=DURATION,
            metavar="D",
            help="Finished (else started, else added) longer ago than this.",
        ),
        click.option(
            "--since",
            "since_ms",
            type=DURATION,
            metavar="D",
            help="Finished (else started, else added) within this time.",
        ),
        click.option("--error", metavar="GLOB", help="The failure's reason, such as '*timeout*'."),
        click.option("--name", metavar="GLOB", help="The job's name."),
        click.option("--state", type=click.Choice(STATES), metavar="STATE", help=f"One of {', '.join(STATES)}."),
    ):
        function = option(function)
    return function


def bulk_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the queue, the ids, the filters, and --all --yes --dry-run."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only say which jobs it would affect."),
        click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal."),
        click.option("--all", "everything", is_flag=True, help="Every job, without a filter."),
    ):
        function = option(function)
    return click.argument("queue")(click.argument("ids", nargs=-1, metavar="[ID]...")(filter_options(function)))


def given_filters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the filters that were given."""
    return {name: value for name, value in options.items() if value is not None}


def perform_bulk(settings: Settings, verb: Verb, queue: str, ids: Sequence[str], options: dict[str, Any]) -> int:
    """Do it to the jobs that were named: ids at once, anything else after the count was told and agreed to.

    Raises:
        click.UsageError: none or more than one of ids, filters and --all; or nobody can be asked.
    """
    everything, yes, dry_run = options.pop("everything"), options.pop("yes"), options.pop("dry_run")
    filters = given_filters(options)
    _check_chosen(ids, filters, everything=everything)
    title = f"{verb.name} jobs of {printable(queue)}"
    if ids and not dry_run:
        done = _act(settings, verb, title, [{"queue": queue, "ids": batch} for batch in _batches(ids)])
        _say_what_was_left(
            settings, verb, queue, [job_id for job_id in dict.fromkeys(ids) if job_id not in done["ids"]]
        )
        return _exit_of(done)
    if not (yes or dry_run or can_ask()):
        raise click.UsageError(
            f"cannot ask for confirmation here: add --yes to {verb.name} them, or --dry-run to see them"
        )
    chosen = {"queue": queue, **({"ids": list(ids)} if ids else {"all": True} if everything else filters)}
    with bar(f"count jobs of {printable(queue)}") as tell:
        found = ask(settings, verb.operation, {**chosen, "dry_run": True}, on_progress=tell)
    count = plural(found["done"], "job")
    if dry_run:
        answer(settings, found, lambda doc: [f"would {verb.name} {count} of {queue}", *map(printable, doc["ids"])])
        return Exit.OK
    if yes:
        warn(f"{count} of {queue} to {verb.name}")
    if not found["done"]:
        return _exit_of(_report(settings, verb, found))
    if not yes and not click.confirm(f"{verb.name} {count} of {queue}?", err=True):
        return Exit.FAILED
    return _exit_of(_act(settings, verb, title, [chosen]))


def _check_chosen(ids: Sequence[str], filters: Mapping[str, Any], *, everything: bool) -> None:
    given = [bool(ids), bool(filters), everything]
    if not any(given):
        raise click.UsageError(
            "which jobs? give IDs, a filter (--state, --name, --error, --since, --older, --running, --limit) or --all"
        )
    if sum(given) > 1:
        raise click.UsageError("give IDs, or filters, or --all: only one of the three")


def can_ask() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def _act(settings: Settings, verb: Verb, title: str, requests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Act, report one sum, and return it."""
    total: dict[str, Any] = {"done": 0, "gone": 0, "ids": []}
    with bar(title) as tell:
        for request in requests:
            found: Mapping[str, Any] = ask(settings, verb.operation, {**request, "dry_run": False}, on_progress=tell)
            total["done"] += found["done"]
            total["gone"] += found["gone"]
            total["ids"] += found["ids"]
            if "running" in found:
                total["running"] = total.get("running", 0) + found["running"]
    return _report(settings, verb, total)


def _report(settings: Settings, verb: Verb, total: dict[str, Any]) -> dict[str, Any]:
    """Tell what was done, and return it."""
    active = total.get("running", 0)
    running = f" ({active} {'is' if active == 1 else 'are'} running: asked to end)" if active else ""
    gone = f", gone meanwhile {total['gone']}" if total["gone"] else ""
    answer(settings, total, lambda doc: [f"{verb.past} {doc['done']}{running}{gone}"])
    return total


def _exit_of(total: Mapping[str, Any]) -> int:
    """Return 1 when none of those that were meant was there."""
    return Exit.FAILED if total["gone"] and not total["done"] else Exit.OK


def _say_what_was_left(settings: Settings, verb: Verb, queue: str, ids: Sequence[str]) -> None:
    """Say of ids that a person named why nothing came of them: "gone meanwhile" counts a job in another state, too."""
    if len(ids) > _TOLD_ALONE:
        return
    for job_id in ids:
        with suppress(JobdError, OSError):
            try:
                state = ask(settings, JOB_SHOW, {"queue": queue, "id": job_id})["job"]["state"]
            except NotThere:
                warn(f"{printable(job_id)}: no such job")
            except Refused as refused:
                if refused.code == "job-unknown":
                    warn(f"{printable(job_id)}: no such job")
            else:
                warn(f"{printable(job_id)}: it is {state}; {verb.name} takes only {verb.takes}")


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for job_id in ids:
        if batch and size + 6 * len(job_id) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(job_id)
        size += 6 * len(job_id) + 4
    if batch:
        yield batch
