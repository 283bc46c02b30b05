"""The Lua files: read once, functions of lua/lib pulled in, named by their SHA1 for EVALSHA."""

from __future__ import annotations

import hashlib
import re
from functools import cache

_INCLUDE = re.compile(r"^ *-- include( here)?( when used)?: ([a-z_]+)$", re.MULTILINE)


class Script:
    """One atomic operation, `lua/<name>.lua` with its `-- include: <name>` lines replaced by lua/lib/<name>.lua.

    A library file is pulled in once however often it is named, before its first user. `-- include when used: <name>`
    pulls it and what it needs into a function that runs at the first call: functions that few calls of a script need
    cost the others next to nothing, while every `local function` in the open is made anew at each EVALSHA. With `here`
    the library belongs to the block that the line is in: it is made only when that block is entered.
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
    # At the first use, and not importlib.resources: since Python 3.14 redis-py does not load that, and it costs every
    # producer 6 ms of its start.
    from pkgutil import get_data

    data = get_data("jobd.engine", f"lua/{path}")
    if data is None:
        raise FileNotFoundError(f"jobd/engine/lua/{path}")
    return data.decode()


def _expand(name: str) -> str:
    return _pull_into(_read(f"{name}.lua"), set())


def _pull_into(text: str, seen: set[str]) -> str:
    """Return the text with its include lines replaced; `seen` are the libraries that it can call already."""

    def pull(match: re.Match[str]) -> str:
        here, when_used, library = match.groups()
        if library in seen:
            return ""
        # What is pulled in for one block cannot be called from another.
        known = set(seen) if here else seen
        known.add(library)
        source = _read(f"lib/{library}.lua")
        if when_used:
            return _MADE_WHEN_USED.format(name=library, source=_pull_into(source, set(known)).rstrip())
        return _pull_into(source, known).rstrip()

    return _INCLUDE.sub(pull, text)


_MADE_WHEN_USED = """local {name}
{name} = function(...)
  {name} = (function()
{source}
    return {name}
  end)()
  return {name}(...)
end"""
