"""`jobd job retry` and `jobd job remove`: many jobs at once, the count shown before anything happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jobd.cli.click_commands import command
from jobd.cli.job_filter import filter_options, filter_params
from jobd.cli.output import answer, warn
from jobd.cli.reach import ask
from jobd.exits import Exit
from jobd.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobd.cli.settings import Settings

_BATCH_BYTES = 256 * 1024
"""Ids of one request, a third of the 1 MiB of a line: a character may need six bytes there."""


class _Verb(NamedTuple):
    name: str
    past: str
    method: str


def _bulk_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Only say which it would be."),
        click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked."),
        click.option("--all", "everything", is_flag=True, help="Every job, without a filter."),
    ):
        function = option(function)
    return click.argument("queue")(click.argument("ids", nargs=-1, metavar="[ID]...")(filter_options(function)))


@command(
    "retry",
    examples=[
        "jobd job retry email 7 8",
        "jobd job retry email --error '*timeout*' --since 1h     # asks first",
        "jobd job retry email --state failed --yes",
    ],
)
@_bulk_options
@click.pass_obj
def retry(settings: Settings, /, queue: str, ids: tuple[str, ...], **options: Any) -> int:
    """Run failed (or completed) jobs again. Needs IDs, a filter or --all."""
    return _bulk(settings, _Verb("retry", "retried", "job.retry"), queue, ids, options)


@command(
    "remove",
    examples=[
        "jobd job remove email 7",
        "jobd job remove email --state completed --older 7d --dry-run",
        "jobd job remove email --name 'digest*' --yes",
    ],
)
@_bulk_options
@click.pass_obj
def remove(settings: Settings, /, queue: str, ids: tuple[str, ...], **options: Any) -> int:
    """Delete jobs that do not run just now. Needs IDs, a filter or --all."""
    return _bulk(settings, _Verb("remove", "removed", "job.remove"), queue, ids, options)


def _bulk(settings: Settings, verb: _Verb, queue: str, ids: Sequence[str], options: dict[str, Any]) -> int:
    everything, yes, dry_run = options.pop("everything"), options.pop("yes"), options.pop("dry_run")
    filters = filter_params(options)
    _check_chosen(ids, filters, everything=everything)
    if ids and not dry_run:
        return _perform(settings, verb, [{"queue": queue, "ids": batch} for batch in _batches(ids)])
    if not (yes or dry_run or _can_ask()):
        raise click.UsageError(f"nobody can be asked here: add --yes to {verb.name} them, or --dry-run to see them")
    chosen = {"queue": queue, **({"ids": list(ids)} if ids else {"all": True} if everything else filters)}
    found = ask(settings, verb.method, {**chosen, "dry_run": True})
    count = plural(found["done"], "job")
    if dry_run:
        answer(settings, found, lambda doc: [f"would {verb.name} {count} of {queue}", *map(printable, doc["ids"])])
        return Exit.OK
    if yes:
        warn(f"{count} of {queue} to {verb.name}")
    elif found["done"] and not click.confirm(f"{verb.name} {count} of {queue}?", err=True):
        return Exit.FAILED
    return _perform(settings, verb, [chosen])


def _check_chosen(ids: Sequence[str], filters: dict[str, Any], *, everything: bool) -> None:
    given = [bool(ids), bool(filters), everything]
    if not any(given):
        raise click.UsageError("which jobs? give IDs, a filter (--state, --name, --error, --since, --older) or --all")
    if sum(given) > 1:
        raise click.UsageError("give IDs, or filters, or --all: only one of the three")


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _perform(settings: Settings, verb: _Verb, requests: Sequence[dict[str, Any]]) -> int:
    """Act, and report one sum. Of explicit ids none of which was there: exit 1."""
    total: dict[str, Any] = {"done": 0, "gone": 0, "ids": []}
    for request in requests:
        found = ask(settings, verb.method, {**request, "dry_run": False})
        total = {name: total[name] + found[name] for name in total}
    gone = f", gone meanwhile {total['gone']}" if total["gone"] else ""
    answer(settings, total, lambda doc: [f"{verb.past} {doc['done']}{gone}"])
    return Exit.FAILED if total["gone"] and not total["done"] else Exit.OK


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
