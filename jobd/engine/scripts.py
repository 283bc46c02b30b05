"""The Lua files: read once, functions of lua/lib pulled in, named by their SHA1 for EVALSHA."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

_INCLUDE = re.compile(r"^-- include: ([a-z_]+)$", re.MULTILINE)


class Script:
    """One atomic operation, `lua/<name>.lua` with its `-- include: <name>` lines replaced by lua/lib/<name>.lua.

    A library file is pulled in once however often it is named, before its first user.
    """

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = _expand(name)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@cache
def script(name: str) -> Script:
    """Return the script `lua/<name>.lua`, read at its first use."""
    return Script(name)


def _read(path: str) -> str:
    return files("jobd.engine").joinpath("lua", path).read_text("utf-8")


def _expand(name: str) -> str:
    seen: set[str] = set()

    def pull(match: re.Match[str]) -> str:
        library = match[1]
        if library in seen:
            return ""
        seen.add(library)
        return _INCLUDE.sub(pull, _read(f"lib/{library}.lua")).rstrip()

    return _INCLUDE.sub(pull, _read(f"{name}.lua"))
