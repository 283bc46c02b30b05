"""`jobd config …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.output import answer
from jobd.cli.reach import connect
from jobd.cli.table import GAP, padded
from jobd.errors import DaemonAway
from jobd.words import cell_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.settings import Settings


@click.group(
    "config",
    cls=Group,
    homes={
        "show": ("jobd.cli.commands.config:show", "the settings in force, or those of the file when no daemon runs")
    },
    examples=["jobd config show", "jobd config show --origin"],
)
def config() -> None:
    """Look at the configuration."""


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


def _document(settings: Settings, *, origin: bool) -> dict[str, Any]:
    try:
        with connect(settings) as daemon:
            return daemon.call("config.show", {"origin": origin})
    except DaemonAway:
        from jobd.config.as_toml import show as entries_of
        from jobd.config.as_toml import show_toml
        from jobd.config.load import load

        found = load(settings.config, redis_url=settings.redis)
        if not origin:
            return {"toml": show_toml(found)}
        entries = [{"key": key, "value": value, "origin": place} for key, value, place in entries_of(found)]
        return {"entries": entries}


def _toml_lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield from document["toml"].splitlines()


def _origin_lines(document: Mapping[str, Any]) -> Iterator[str]:
    rows = [(f"{entry['key']} = {entry['value']}", entry["origin"]) for entry in document["entries"]]
    width = min(60, max((cell_width(setting) for setting, _ in rows), default=0))
    for setting, place in rows:
        yield f"{padded(setting, width)}{GAP}# {place}"
