"""Which file: the main one, its drop-ins, and their text as TOML."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_CONFIG = Path("/etc/jobd/jobd.toml")
MAX_FILE_BYTES = 8 * 2**20
"""A configuration above this is some other file; reading it would only cost time and memory."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_AT = r" \(at (?:line (\d+), column (\d+)|end of document)\)$"


class BrokenFile(ConfigError):
    """A file that cannot be read as TOML. `line` and `column` count characters from 1."""

    def __init__(self, path: Path, main: Path, reason: str, *, line: int = 1, column: int = 1, text: str = "") -> None:
        shown = shown_name(path, main)
        message = f"{shown}:{line}:{column} {reason}"
        super().__init__(message, [message])
        self.path = path
        self.shown = shown
        self.line = line
        self.column = column
        self.reason = reason
        self.text = text


class FolderGone(ConfigError):
    """A relative path was given, and there is no current folder to take it from."""

    code = "folder-gone"

    def __init__(self, message: str) -> None:
        super().__init__(message, [message])


def find_config(
    explicit: str | Path | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Path | None:
    """Return the main file, absolute, or None when no place has one.

    A file that was named (argument, $JOBD_CONFIG) is returned whether it exists or not: reading it will say so.
    """
    named = explicit or (env or {}).get("JOBD_CONFIG")
    if named:
        return absolute(named, cwd)
    try:
        here = [absolute("jobd.toml", cwd)]
    except FolderGone:
        here = []
    return next((place for place in (*here, SYSTEM_CONFIG) if place.is_file()), None)


def current_folder() -> Path:
    """Return the current folder as the shell names it: a symlink such as `current` of a deploy stays one.

    Raises:
        FolderGone: it was removed.
    """
    named = os.environ.get("PWD", "")
    try:
        if named.startswith("/") and os.path.normpath(named) == named and Path(named).samefile("."):
            return Path(named)
    except OSError:
        pass  # $PWD is of a folder that is no more, or of another one
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise FolderGone("the current folder is gone; change to one that exists") from None


def absolute(path: str | Path, cwd: Path | None = None) -> Path:
    """Return the path, a relative one taken from the current folder; only then must there be one.

    Raises:
        FolderGone: the path is relative and the current folder was removed.
    """
    return Path(path) if Path(path).is_absolute() else (cwd or current_folder()) / path


def config_places() -> list[str]:
    """Return the places where a file is looked for, in order, as a person names them."""
    return ["--config", "$JOBD_CONFIG", "./jobd.toml", str(SYSTEM_CONFIG)]


def drop_in_folder(main: Path) -> Path:
    """Return the folder whose files are read after `main`: `jobd.d` beside `jobd.toml`."""
    return main.parent / (main.name.removesuffix(".toml") + ".d")


def drop_ins(main: Path) -> list[Path]:
    """Return the drop-ins of `main` in name order. Hidden files are left out: editors keep their own there."""
    try:
        found = list(drop_in_folder(main).glob("*.toml"))
    except OSError:
        return []
    return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.name)


def shown_name(path: Path, main: Path) -> str:
    """Return how `path` is called in messages: relative to the folder of `main` ("jobd.d/20-video.toml")."""
    try:
        return str(path.relative_to(main.parent))
    except ValueError:
        return str(path)


def read_bytes(path: Path, main: Path) -> bytes:
    """Return what a file holds.

    Raises:
        BrokenFile: it cannot be read, or is too large to be a configuration.
    """
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokenFile(path, main, f"cannot read {path}: {reason}") from None


def read_regular(path: Path, most: int) -> bytes:
    """Return what a regular file holds; a pipe or a device would be waited for without end.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more than `most` bytes; `strerror` says which.
        ValueError: no file can have this name.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for is_one, name in _KINDS if is_one(mode)), "no file")
            raise OSError(errno.EINVAL, f"it is {kind}, not a file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(fd)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most // 2**20} MiB")
    return data


def parse_toml(data: bytes, path: Path, main: Path) -> tuple[dict[str, Any], str]:
    """Return the tree of a file and its text.

    Raises:
        BrokenFile: not UTF-8, or not TOML.
    """
    import tomllib

    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BrokenFile(path, main, f"the file is not UTF-8 text (line {line} is not)") from None
    if text.startswith("\ufeff"):
        raise BrokenFile(path, main, "the file starts with a byte order mark; save it as UTF-8 without one", text=text)
    try:
        return tomllib.loads(text), text
    except RecursionError:
        raise BrokenFile(path, main, "the file nests too deeply", text=text) from None
    except ValueError as error:
        line, column, reason = _placed(str(error), text)
        raise BrokenFile(path, main, reason, line=line, column=column, text=text) from None


def _placed(message: str, text: str) -> tuple[int, int, str]:
    """Return line, column and reason of what tomllib said; it counts characters from 1, as we do."""
    found = re.search(_AT, message)
    if found is None:
        return 1, 1, _reason(message)
    if found[1]:
        return int(found[1]), int(found[2]), _reason(message[: found.start()])
    lines = text.split("\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return len(lines), len(lines[-1].rstrip("\r")) + 1, _reason(message[: found.start()] + " at the end of the file")


def _reason(message: str) -> str:
    if "Exceeds the limit" in message:
        return "a number has too many digits"
    return message[:1].lower() + message[1:]
