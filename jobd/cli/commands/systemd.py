"""`jobd systemd print`: the unit for this installation."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command

if TYPE_CHECKING:
    from jobd.cli.settings import Settings

PROFILES = ("plain", "standard", "strict")

_HARDENING = "NoNewPrivileges=yes\n"
"""The first line of the unit's hardening, which goes on to `[Install]`."""

_STRICT = """\
# Strict: nothing of the kernel's but processes in /proc, no executable pages made at run time (no JIT compilers), no
# netlink (a program that lists network interfaces fails).
MemoryDenyWriteExecute=yes
PrivateMounts=yes
ProcSubset=pid
RestrictAddressFamilies=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""


@click.group(
    "systemd",
    cls=Group,
    homes={"print": ("jobd.cli.commands.systemd:print_", "the unit file for this installation")},
    examples=["jobd systemd print > /etc/systemd/system/jobd.service"],
)
def systemd() -> None:
    """Run jobd as a service."""


@command(
    "print",
    examples=[
        "jobd systemd print > /etc/systemd/system/jobd.service && systemctl daemon-reload",
        "jobd systemd print --profile plain      # without hardening, to find out what it keeps a handler from",
        "jobd systemd print --profile strict     # also no pages that are written and then run",
    ],
)
@click.option("--profile", type=click.Choice(PROFILES), default="standard", show_default=True,
              help="How much of the system its handlers may touch.")  # fmt: skip
@click.pass_obj
def print_(settings: Settings, profile: str) -> None:
    """Print a unit that runs this jobd on this file: Type=notify, a reload that waits, a watchdog, hardening."""
    click.echo(unit(profile, _bin(), settings.config and os.path.abspath(settings.config)), nl=False)  # noqa: PTH100 - a symlink stays one


def unit(profile: str = "standard", bin_folder: str | None = None, config: str | None = None) -> str:
    """Return the unit. `bin_folder` and `config` take the places of /opt/jobd/bin and /etc/jobd/jobd.toml."""
    text = files("jobd.cli").joinpath("units", "jobd.service").read_text()
    if bin_folder is not None:
        text = text.replace("/opt/jobd/bin:", f"{bin_folder}:")
    if config is not None:
        text = text.replace("JOBD_CONFIG=/etc/jobd/jobd.toml", f"JOBD_CONFIG={config}")
    start, end = text.index(_HARDENING), text.index("\n[Install]")
    if profile == "plain":
        head = text.index("#\n# Scores"), text.index("\n[Unit]")
        return text[: head[0]] + text[head[1] : start] + text[end + 1 :]
    return text[:end] + (_STRICT if profile == "strict" else "") + text[end:]


def _bin() -> str | None:
    """Return the folder of this virtualenv's programs; None where jobd is installed for the whole system."""
    return str(Path(sys.prefix) / "bin") if sys.prefix != sys.base_prefix else None
