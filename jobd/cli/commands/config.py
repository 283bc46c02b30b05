"""`jobd config …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.columns import GAP, padded
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.errors import DaemonAway
from jobd.operations.table import CONFIG_SHOW
from jobd.words import cell_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings
    from jobd.operations.documents.daemon import ConfigShown


@click.group(
    "config",
    cls=Group,
    homes={
        "show": ("jobd.cli.commands.config:show", "the settings in force, or those of the file when no daemon runs"),
        "add-queue": ("jobd.cli.commands.config_queue:add_queue", "add a queue, in a drop-in that jobd writes"),
        "remove-queue": ("jobd.cli.commands.config_queue:remove_queue", "remove a queue that add-queue added"),
        "schema": ("jobd.cli.commands.config:print_schema", "the JSON Schema of jobd.toml, for editors"),
    },
    examples=["jobd config show", "jobd config show --origin", "jobd config schema > jobd.schema.json"],
)
def config() -> None:
    """Look at the configuration; add and remove queues."""


@command(
    "show",
    examples=[
        "jobd config show                 # as one TOML text, secrets as ***",
        "jobd config show --origin        # every key with the place it comes from",
    ],
)
@click.option("--origin", is_flag=True, help="Each key with its value and where that comes from.")
@click.pass_obj
def show(settings: Settings, origin: bool) -> None:
    """Show the daemon's configuration in force; without a daemon, what the file says now."""
    answer(settings, _document(settings, origin=origin), _origin_lines if origin else _toml_lines)


def _document(settings: Settings, *, origin: bool) -> ConfigShown:
    try:
        return ask(settings, CONFIG_SHOW, {"origin": origin})
    except DaemonAway:
        from jobd.config.load import load
        from jobd.operations.configuration import shown

        return shown(load(settings.config, redis_url=settings.redis), origin=origin)


def _toml_lines(document: ConfigShown) -> Iterator[str]:
    yield from document["toml"].splitlines()


def _origin_lines(document: ConfigShown) -> Iterator[str]:
    rows = [(f"{entry['key']} = {entry['value']}", entry["origin"]) for entry in document["entries"]]
    width = min(60, max((cell_width(setting) for setting, _ in rows), default=0))
    for setting, place in rows:
        yield f"{padded(setting, width)}{GAP}# {place}"


@command("schema", examples=["jobd config schema > jobd.schema.json"])
@click.pass_obj
def print_schema(settings: Settings) -> None:
    """Print the JSON Schema of jobd.toml: every key with its type, default, meaning and an example."""
    import json

    from jobd.config.schema import schema

    del settings  # a schema is JSON with --json and without
    click.echo(json.dumps(schema(), indent=2))
