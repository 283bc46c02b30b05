"""What every command accepts: which file, which socket, which Redis, and how the answer looks."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

COLORS = ("auto", "always", "never")


@dataclass
class Settings:
    """The options that stand before or after any command; None: not given."""

    config: str | None = None
    socket: str | None = None
    redis: str | None = None
    json: bool = False
    color: str = "auto"

    def config_path(self) -> Path | None:
        """Return the main file, absolute, or None when no place has one."""
        from jobd.locate.files import find_config

        return find_config(self.config, os.environ)

    def sockets(self) -> list[Path]:
        """Return the control sockets to try, in order."""
        from jobd.locate.sockets import socket_candidates

        return socket_candidates(self.socket, config=self.config_path())

    @property
    def colored(self) -> bool:
        """Whether what goes to stdout may carry colors (https://no-color.org)."""
        if self.color != "auto":
            return self.color == "always"
        return sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and value is not False:
        setattr(ctx.find_object(Settings), str(option.name), value)


def common_options(taken: Sequence[str] = ()) -> list[click.Option]:
    """Return fresh options for one command, without those whose flag it uses itself (`plan --config NEW`)."""
    made = [
        click.Option(["--config"], metavar="FILE", help="The main file; else $JOBD_CONFIG, ./jobd.toml, /etc/jobd."),
        click.Option(["--socket"], metavar="PATH", help="The daemon's control socket."),
        click.Option(["--redis"], metavar="URL", help="This Redis, without asking a daemon."),
        click.Option(["--json"], is_flag=True, help='One JSON document with "schema": 1.'),
        click.Option(["--color"], type=click.Choice(COLORS), help="auto: colors on a terminal without $NO_COLOR."),
    ]
    for option in made:
        option.expose_value = False
        option.default = None
        option.callback = _keep
    return [option for option in made if option.opts[0] not in taken]
