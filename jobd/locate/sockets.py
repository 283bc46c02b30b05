"""Which control socket, which state folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.errors import ConfigError, InputError
from jobd.locate.files import BrokenFile, FolderGone, absolute, drop_ins, parse_toml, read_bytes
from jobd.locate.variables import expand

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_NAME = "control.sock"
SYSTEM_FOLDER = Path("/etc/jobd")
SYSTEM_RUNTIME = Path("/run/jobd")
SYSTEM_STATE = Path("/var/lib/jobd")
LOCK_NAME = "lock"
"""In the state folder: a line with the daemon's pid, one with its control socket."""
_DAEMON = re.compile(r"^[ \t]*\[daemon\][ \t]*(?:#[^\n]*?)?\r?$(.*?)(?=^[ \t]*\[|\Z)", re.MULTILINE | re.DOTALL)
"""The lines of the [daemon] table."""
LOCAL = ".jobd"
"""The folder beside the file that holds socket and state of a daemon a person starts by hand."""


def socket_candidates(
    explicit: str | Path | None = None,
    *,
    config: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> list[Path]:
    """Return the control sockets to try, in order; one that was named is the only one.

    Args:
        explicit: --socket.
        config: The main file, if there is one.
    """
    variables = os.environ if env is None else env
    named = explicit or variables.get("JOBD_SOCKET")
    if named:
        return [absolute(named, cwd)]
    written = _daemon_path(config, "socket", variables)
    if written:
        return [written]
    return [*_beside(config, cwd), *_of_instance(config), SYSTEM_RUNTIME / SOCKET_NAME]


def _beside(config: Path | None, cwd: Path | None) -> list[Path]:
    """Return where the daemon of a file listens; with none, that of the file which may have been here a moment ago."""
    try:
        return [(config.parent if config else absolute(LOCAL, cwd).parent) / LOCAL / SOCKET_NAME]
    except FolderGone:
        return []


def _of_instance(config: Path | None) -> list[Path]:
    """Return where jobd@NAME.service listens, for its file /etc/jobd/NAME.toml."""
    if config is None or config.parent != SYSTEM_FOLDER or config.stem == SYSTEM_FOLDER.name:
        return []
    return [SYSTEM_RUNTIME.with_name(f"{SYSTEM_RUNTIME.name}-{config.stem}") / SOCKET_NAME]


def run_socket(
    explicit: str | Path | None = None,
    *,
    config: Path,
    written: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Path:
    """Return the control socket that `jobd run` makes. `written` is [daemon] socket, absolute."""
    variables = os.environ if env is None else env
    named = explicit or variables.get("JOBD_SOCKET")
    if named:
        return absolute(named, cwd)
    return written or _run_folder(config, variables.get("RUNTIME_DIRECTORY"), SYSTEM_RUNTIME) / SOCKET_NAME


def state_dir(*, config: Path, written: Path | None = None, env: Mapping[str, str] | None = None) -> Path:
    """Return the state folder of `jobd run`. `written` is [daemon] state_dir, absolute."""
    variables = os.environ if env is None else env
    return written or _run_folder(config, variables.get("STATE_DIRECTORY"), SYSTEM_STATE)


def noted_socket(config: Path, *, env: Mapping[str, str] | None = None) -> Path | None:
    """Return where the last daemon of this file's state folder listened, None where that cannot be known.

    A socket that was changed in the file since is not where the daemon listens.
    """
    variables = os.environ if env is None else env
    written = _daemon_path(config, "state_dir", variables)
    folder = written or (SYSTEM_STATE if is_system_file(config) else config.parent / LOCAL)
    try:
        lines = (folder / LOCK_NAME).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    return Path(lines[1]) if len(lines) > 1 and lines[1] else None


def _run_folder(config: Path, given: str | None, system: Path) -> Path:
    if given:
        return Path(given.split(":")[0])  # systemd.exec(5): several folders are joined by colons
    return system if is_system_file(config) else config.parent / LOCAL


def is_system_file(config: Path) -> bool:
    """Tell whether a file lies under /etc: its daemon keeps socket and state in the system's places."""
    return config.is_relative_to("/etc")


def _daemon_path(config: Path | None, key: str, env: Mapping[str, str]) -> Path | None:
    """Return a path of the [daemon] table, made absolute; None when it is not there or cannot be read.

    A file that is broken must not keep `status` and `stop` from the running daemon, so nothing is raised.
    """
    value = env.get(f"JOBD_DAEMON__{key.upper()}")
    if config is None:
        return absolute(value) if value else None
    try:
        for path in [] if value else [config, *drop_ins(config)]:
            daemon = _daemon_table(path, config)
            if isinstance(daemon, dict) and isinstance(daemon.get(key), str):
                value = expand(daemon[key], env)
    except (BrokenFile, InputError, ConfigError):
        return None
    return config.parent / value if value else None


def _daemon_table(path: Path, config: Path) -> object:
    """Return the [daemon] table of a file, None without one; a file that is broken elsewhere has it, too.

    Raises:
        BrokenFile: the file cannot be read, or is broken in that table.
    """
    try:
        return parse_toml(read_bytes(path, config), path, config)[0].get("daemon")
    except BrokenFile as broken:
        found = _DAEMON.search(broken.text)
        if found is None:
            raise
        return parse_toml(found[1].encode(), path, config)[0]
