"""`jobd config add-queue` and `remove-queue`."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.output import answer, warn
from jobd.config.problems import render_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.cli.settings import Settings
    from jobd.config.problems import Problem


@command(
    "add-queue",
    examples=[
        "jobd config add-queue thumbs --handler shop.images:thumb",
        "jobd config add-queue thumbs --handler shop.images:thumb --workers 2 --timeout 5m --set keep_failed=1000",
    ],
)
@click.argument("queue")
@click.option("--handler", required=True, metavar="M:A", help="Who runs its jobs: module:attribute.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes that serve it.")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="Jobs at once in each.")
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs of a job that sets none itself, the first included.",
)
@click.option("--timeout", metavar="D", help="Time for one attempt, such as 30s.")
@click.option("--preset", metavar="NAME", help="A table of [presets].")
@click.option(
    "--set", "others", multiple=True, metavar="KEY=VALUE", help="Any other key; the value is TOML, else text."
)
@click.pass_obj
def add_queue(settings: Settings, /, queue: str, others: Sequence[str], **keys: Any) -> None:
    """Add a queue to the configuration, in a drop-in of its own; it is checked first. `jobd reload` applies it.

    Code may come later: a handler that does not import yet is only a warning here, though `reload` will refuse it.
    """
    from jobd.config.drop_in_queues import add_queue as add

    table = {name: value for name, value in keys.items() if value is not None} | dict(map(_pair, others))
    path = add(settings.config, queue, table, settings.redis)
    problems = _import_problems(settings, queue)
    told = {"queue": queue, "path": str(path), "warnings": [str(problem) for problem in problems]}
    answer(settings, told, lambda found: [f"wrote {found['path']}", "apply with: jobd reload"])
    if problems and not settings.json:
        shown = "\n\n".join(map(render_problem, problems))
        warn(f"warning: jobd reload and the next start are refused until this is mended\n\n{shown}")


def _import_problems(settings: Settings, queue: str) -> list[Problem]:
    from jobd.cli.check_imports import import_handlers
    from jobd.config.load import load

    config = load(settings.config, redis_url=settings.redis)
    return import_handlers(replace(config, queues={queue: config.queues[queue]}), resolve=False).problems


@command("remove-queue", examples=["jobd config remove-queue thumbs"])
@click.argument("queue")
@click.pass_obj
def remove_queue(settings: Settings, queue: str) -> None:
    """Remove a queue that `config add-queue` added; one that a person wrote is refused, with its line."""
    from jobd.config.drop_in_queues import remove_queue as remove

    path = remove(settings.config, queue, settings.redis)
    told = {"queue": queue, "path": str(path)}
    answer(settings, told, lambda found: [f"deleted {found['path']}", "apply with: jobd reload"])


def _pair(text: str) -> tuple[str, Any]:
    """Return key and value of KEY=VALUE; what is no TOML value is text."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise click.UsageError(f'--set: expected KEY=VALUE, got "{text}"')
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
