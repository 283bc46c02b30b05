"""`jobd systemd print`: the units for this installation."""

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
UNITS = ("jobd.service", "jobd@.service", "jobd.socket", "jobd@.socket", "jobd-web.service")

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
    homes={"print": ("jobd.cli.commands.systemd:print_", "a unit file for this installation")},
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
        "jobd systemd print jobd@.service        # one daemon for each file /etc/jobd/NAME.toml: jobd@NAME",
        "jobd systemd print jobd.socket          # who connects to the control socket starts the daemon",
    ],
)
@click.argument("name", metavar="[UNIT]", type=click.Choice(UNITS), default="jobd.service")
@click.option("--profile", type=click.Choice(PROFILES), default="standard", show_default=True,
              help="How much of the system its handlers may touch.")  # fmt: skip
@click.pass_obj
def print_(settings: Settings, name: str, profile: str) -> None:
    """Print a unit that runs this jobd on this file: Type=notify, a reload that waits, a watchdog, hardening.

    UNIT is jobd.service (default), jobd@.service, jobd.socket, jobd@.socket or jobd-web.service.
    """
    config = settings.config and os.path.abspath(settings.config)  # noqa: PTH100 - a symlink stays one
    click.echo(unit(name, profile, _bin(), config), nl=False)


def unit(
    name: str = "jobd.service", profile: str = "standard", bin_folder: str | None = None, config: str | None = None
) -> str:
    """Return a unit of UNITS. `bin_folder` and `config` take the places of /opt/jobd/bin and /etc/jobd/jobd.toml."""
    text = files("jobd.cli").joinpath("units", name.replace("@", "")).read_text()
    if "@" in name:
        text = _for_instances(text)
    elif config is not None:
        text = text.replace("JOBD_CONFIG=/etc/jobd/jobd.toml", f"JOBD_CONFIG={config}")
    if bin_folder is not None:
        text = text.replace("/opt/jobd/bin:", f"{bin_folder}:")
    return text if name.endswith(".socket") else _hardened(text, profile)


def _hardened(text: str, profile: str) -> str:
    start, end = text.index(_HARDENING), text.index("\n[Install]")
    if profile == "plain":
        head, _, rest = text[:start].partition("#\n# Scores")
        return head + rest[rest.index("\n[Unit]") :] + text[end + 1 :] if rest else head + text[end + 1 :]
    return text[:end] + (_STRICT if profile == "strict" else "") + text[end:]


_INSTANCES = (
    ("Values of your own go into a drop-in: systemctl edit jobd\n",
     "Values of your own go into a drop-in: systemctl edit jobd@\n"
     "#\n# One daemon for each file /etc/jobd/NAME.toml: systemctl enable --now jobd@NAME\n"
     "# Commands find it by the file: jobd --config /etc/jobd/NAME.toml status\n"),
    ("workers for BullMQ queues\n", "workers for BullMQ queues (%i)\n"),
    ("Description=jobd: the control socket\n", "Description=jobd: the control socket (%i)\n"),
    ("JOBD_CONFIG=/etc/jobd/jobd.toml\n",
     "JOBD_CONFIG=/etc/jobd/%i.toml\nEnvironment=JOBD_SOCKET=/run/jobd-%i/control.sock\n"),
    ("SyslogIdentifier=jobd\n", "SyslogIdentifier=jobd-%i\n"),
    ("RuntimeDirectory=jobd\n", "RuntimeDirectory=jobd-%i\n"),
    ("StateDirectory=jobd\n", "StateDirectory=jobd-%i\n"),
    ("/var/lib/jobd the state. Handlers may write to /var/lib/jobd and /tmp; more by\n# ReadWritePaths=",
     "/var/lib/jobd the state. Handlers may write to /var/lib/jobd and /tmp; more\n# by ReadWritePaths="),
    ("/var/lib/jobd", "/var/lib/jobd-%i"),
    ("/run/jobd/", "/run/jobd-%i/"),
    ("/run/jobd ", "/run/jobd-%i "),
    ("jobd.socket", "jobd@NAME.socket"),
    ("jobd.service", "jobd@NAME.service"),
    ("jobd@NAME.socket jobd", "jobd@NAME.socket jobd@NAME"),
)  # fmt: skip
"""What differs in a template unit; each instance has folders of its own beside those of jobd.service."""


def _for_instances(text: str) -> str:
    for one, each in _INSTANCES:
        text = text.replace(one, each)
    return text


def _bin() -> str | None:
    """Return the folder of this virtualenv's programs; None where jobd is installed for the whole system."""
    return str(Path(sys.prefix) / "bin") if sys.prefix != sys.base_prefix else None
