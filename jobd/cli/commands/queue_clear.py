"""`jobd queue empty`, `clean`, `remove-orphans` and `obliterate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.bulk import can_ask
from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer, warn
from jobd.cli.params import DURATION
from jobd.cli.progress_bar import bar
from jobd.exits import Exit
from jobd.operations.table import QUEUE_CLEAN, QUEUE_EMPTY, QUEUE_OBLITERATE, QUEUE_REMOVE_ORPHANS
from jobd.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobd.cli.settings import Settings
    from jobd.operations.operation import Operation

CLEANABLE = ("completed", "failed", "waiting", "prioritized", "delayed", "active")


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Only say how many it would affect."),
        click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal."),
    ):
        function = option(function)
    return click.argument("queue")(function)


@command(
    "empty",
    examples=[
        "jobd queue empty email --dry-run",
        "jobd queue empty email --delayed --yes     # what is due later too",
    ],
)
@_asked
@click.option("--delayed", is_flag=True, help="Also delete delayed jobs.")
@click.pass_obj
def empty(settings: Settings, /, queue: str, delayed: bool, yes: bool, dry_run: bool) -> int:
    """Delete the waiting jobs (BullMQ calls that drain). Running and finished jobs stay."""
    return _clear(settings, QUEUE_EMPTY, {"queue": queue, "delayed": delayed}, yes=yes, dry_run=dry_run)


@command(
    "clean",
    examples=[
        "jobd queue clean email --state completed --older 7d --yes",
        "jobd queue clean email --state failed --limit 1000 --dry-run",
    ],
)
@_asked
@click.option(
    "--state", type=click.Choice(CLEANABLE), metavar="STATE", required=True, help=f"One of {', '.join(CLEANABLE)}."
)
@click.option(
    "--older", "older_ms", type=DURATION, metavar="D", help="Finished (else started, else added) longer ago than this."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many, the oldest.")
@click.pass_obj
def clean(settings: Settings, /, queue: str, yes: bool, dry_run: bool, **chosen: Any) -> int:
    """Delete old jobs of one state, as BullMQ's clean does; of active jobs only those whose lock is gone."""
    return _clear(settings, QUEUE_CLEAN, {"queue": queue, **chosen}, yes=yes, dry_run=dry_run)


@command(
    "remove-orphans",
    examples=["jobd queue remove-orphans email --dry-run", "jobd queue remove-orphans email --yes"],
)
@_asked
@click.pass_obj
def remove_orphans(settings: Settings, /, queue: str, yes: bool, dry_run: bool) -> int:
    """Delete jobs that are in no state any more, and keys left of jobs that are gone.

    Peers that are killed in the middle of something leave them behind. Looks at every key of the Redis.
    """
    return _clear(settings, QUEUE_REMOVE_ORPHANS, {"queue": queue}, yes=yes, dry_run=dry_run)


@command(
    "obliterate",
    examples=["jobd queue obliterate email --dry-run", "jobd queue obliterate email --yes"],
)
@_asked
@click.option("--force", is_flag=True, help="Even while workers run its jobs; those are taken away from them.")
@click.pass_obj
def obliterate(settings: Settings, /, queue: str, force: bool, yes: bool, dry_run: bool) -> int:
    """Delete a queue and everything in it: jobs of every state, schedulers, events, settings. Cannot be undone."""
    return _clear(settings, QUEUE_OBLITERATE, {"queue": queue, "force": force}, yes=yes, dry_run=dry_run)


def _clear(
    settings: Settings, operation: Operation[Any, Any], params: dict[str, Any], *, yes: bool, dry_run: bool
) -> int:
    """Tell how many jobs it is about, and delete them once that is agreed to."""
    queue, verb = params["queue"], operation.name.partition(".")[2]
    if not (yes or dry_run or can_ask()):
        raise click.UsageError(
            "cannot ask for confirmation here: add --yes to go on, or --dry-run to see how many jobs"
        )
    with bar(f"count jobs of {printable(queue)}") as tell:
        found = ask(settings, operation, {**params, "dry_run": True}, on_progress=tell)
    count = _count(verb, found)
    if dry_run:
        answer(settings, found, lambda _: [f"would delete {count} of {queue}"])
        return Exit.OK
    if yes:
        warn(f"{count} of {queue} to delete")
    elif not click.confirm(f"{verb} {queue}, deleting {count}?", err=True):
        return Exit.FAILED
    if found["removed"] or operation is QUEUE_OBLITERATE:
        with bar(f"{verb} {printable(queue)}") as tell:
            found = ask(settings, operation, {**params, "dry_run": False}, on_progress=tell)
    answer(settings, found, lambda document: _lines(verb, queue, document))
    return Exit.OK


def _count(verb: str, document: Mapping[str, Any]) -> str:
    return plural(document["removed"], "orphaned job" if verb == "remove-orphans" else "job")


def _lines(verb: str, queue: str, document: Mapping[str, Any]) -> Iterator[str]:
    count = _count(verb, document)
    if verb == "obliterate":
        yield f"{queue} is gone, and {count} with it"
        return
    if verb == "remove-orphans":
        yield f"deleted {count} of {queue}"
        return
    left = ", ".join(f"{count} {state}" for state, count in document["after"].items() if count)
    yield f"deleted {count} of {queue}" + (f"; left: {left}" if left else "; nothing is left")
