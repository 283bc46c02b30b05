"""One tree out of the files and the environment, with the origin of every value."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobd.config.origins import FileRead, Origin, Origins, depth_of
from jobd.config.positions import positions
from jobd.config.problems import Problem
from jobd.config.secrets import broken_line
from jobd.config.values import scalar
from jobd.locate import BrokenFile, LooseText, drop_ins, expand, shown_name
from jobd.locate.files import parse_toml, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobd.config.positions import Path_

MAX_DEPTH = 50
"""Deeper than anything a configuration needs; pydantic, json and we ourselves recurse below this without care."""

NAMED = frozenset({"queues", "presets", "schedules"})
"""Tables whose keys are names that the person chose."""

_ONE_SOURCE = frozenset({"url", "embedded", "username", "password", "prefix"})


@dataclass
class Tree:
    """The merged values, where they come from, and what was wrong on the way."""

    main: Path
    values: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=lambda: Origins(""))
    files: list[FileRead] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    broken: set[Path_] = field(default_factory=set)

    def refuse(self, path: Path_, message: str, hint: str | None = None, *, at: str = "value") -> None:
        """Note a problem with the value at `path`; rules that need this value are passed over later."""
        self.broken.add(path)
        self.problems.append(self.origins.problem_at(path, message, hint, at=at))

    def is_broken(self, path: Path_) -> bool:
        """Tell whether the value at `path`, a part of it or what holds it was refused already."""
        return any(path[: len(other)] == other or other[: len(path)] == path for other in self.broken)


def read_tree(main: Path) -> Tree:
    """Return the tree of `main` and its drop-ins. A file that is not TOML is a problem, and its values are missing."""
    tree = Tree(main, origins=Origins(main.name))
    for path in [main, *drop_ins(main)]:
        try:
            data = read_bytes(path, main)
            values, text = parse_toml(data, path, main)
        except BrokenFile as error:
            tree.problems.append(_broken(error))
            continue
        if depth_of(values) > MAX_DEPTH:
            tree.problems.append(_broken(BrokenFile(path, main, "the file nests too deeply", text=text)))
            continue
        name = shown_name(path, main)
        tree.files.append(FileRead.of(path, name, data))
        lines = tuple(line.rstrip("\r") for line in text.split("\n"))
        origins = {place: Origin(name, entry, lines) for place, entry in positions(text).items()}
        lay_over(tree, spell_out(values), Source(origins, Origin(name)))
    return tree


@dataclass(frozen=True, slots=True)
class Source:
    """Where the values of one file or variable stand; `whole` is for those that have no place of their own."""

    origins: Mapping[Path_, Origin]
    whole: Origin

    def of(self, path: Path_) -> Origin:
        """Return the place of the value at `path`: its own, else that of what holds it."""
        lengths = range(len(path), 0, -1)
        return next((self.origins[path[:n]] for n in lengths if path[:n] in self.origins), self.whole)


def _broken(error: BrokenFile) -> Problem:
    lines = error.text.split("\n")
    before = "\n".join(lines[: error.line - 1])
    if before.count('"""') % 2 or before.count("'''") % 2:  # the line is of a text, perhaps of a password
        return Problem(error.shown, error.line, error.column, error.reason)
    source = broken_line(lines[error.line - 1].rstrip("\r")) if error.text and error.line <= len(lines) else None
    return Problem(error.shown, error.line, error.column, error.reason, None, source)


def spell_out(values: dict[str, Any]) -> dict[str, Any]:
    """Return the tree with `email = "shop.mail:send"` written as `email = { handler = "shop.mail:send" }`."""
    result = dict(values)
    for section in ("queues", "presets"):
        tables = values.get(section)
        if isinstance(tables, dict):
            result[section] = {name: _with_jobs(_as_handler(table)) for name, table in tables.items()}
    if "defaults" in values:
        result["defaults"] = _with_jobs(values["defaults"])
    return result


def _as_handler(value: Any) -> Any:
    return {"handler": value} if isinstance(value, str) else value


def _with_jobs(table: Any) -> Any:
    if not isinstance(table, dict) or not isinstance(table.get("jobs"), dict):
        return table
    return {**table, "jobs": {name: _as_handler(job) for name, job in table["jobs"].items()}}


def merges(path: Path_) -> bool:
    """Tell whether the table at `path` is merged key by key; everything else is a value, replaced whole."""
    if len(path) <= 1:
        return True
    inner = path[2:] if path[0] in NAMED else path[1:]
    if path[0] == "schedules":
        return not inner
    return not inner or inner in {("env",), ("jobs",)} or (len(inner) == 2 and inner[0] == "jobs")


def lay_over(tree: Tree, values: dict[str, Any], source: Source) -> None:
    """Lay the values of one source over the tree."""
    _drop_other_redis(tree, values)
    _merge(tree, tree.values, values, (), source)


def _drop_other_redis(tree: Tree, values: dict[str, Any]) -> None:
    """Let a later `url` replace an earlier `embedded = true`, and the other way round."""
    new, old = values.get("redis"), tree.values.get("redis")
    if not isinstance(new, dict) or not isinstance(old, dict):
        return
    if "url" in new and "embedded" not in new:
        forget(tree, ("redis", "embedded"))
    if scalar(new.get("embedded")) is True and "url" not in new:
        forget(tree, ("redis", "url"))


def forget(tree: Tree, path: Path_) -> bool:
    """Remove the value at `path`; returns whether there was one."""
    node: Any = tree.values
    for part in path[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict) or path[-1] not in node:
        return False
    tree.origins.forget([path, *_paths_below(node.pop(path[-1]), path)])
    return True


def _merge(tree: Tree, old: dict[str, Any], new: dict[str, Any], base: Path_, source: Source) -> None:
    for key, value in new.items():
        path = (*base, key)
        table = isinstance(value, dict) and merges(path)
        if key in old and not (table and isinstance(old[key], dict)):
            tree.origins.forget([path, *_paths_below(old.pop(key), path)])
        if not tree.origins.written(path):
            tree.origins.set(path, source.of(path))
        if table:
            _merge(tree, old.setdefault(key, {}), value, path, source)
            continue
        old[key] = value
        for inner in _paths_below(value, path):
            tree.origins.set(inner, source.of(inner))


def _paths_below(value: Any, path: Path_) -> Iterator[Path_]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key)
        yield from _paths_below(member, (*path, key))


def drop_file_redis(tree: Tree, origin: str) -> None:
    """Forget what the files say about Redis: its URL comes from `origin`, prefix and credentials go with the URL."""
    lost = []
    for key in sorted(_ONE_SOURCE):
        place = tree.origins.problem_at(("redis", key), "", at="key")
        if forget(tree, ("redis", key)) and key not in {"url", "embedded"}:
            lost.append((key, place))
    for key, place in lost:
        message = f"`{key}` is not used: the Redis comes from {origin}, and its {key} would too"
        tree.warnings.append(Problem(place.file, place.line, place.column, message, None, place.source, place.width))


def expand_values(tree: Tree, env: Mapping[str, str]) -> frozenset[str]:
    """Replace every `${…}` of the files in place. Returns the variables whose values are now in [redis]."""
    used = _Recorder(env)
    for key, value in tree.values.items():
        names = _Recorder(env) if key != "redis" else used
        tree.values[key] = _expanded(tree, value, (key,), names)
    return frozenset(used.names)


class _Recorder(dict[str, str]):
    """A view of the environment that notes which variables were asked for."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def _expanded(tree: Tree, value: Any, path: Path_, env: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(tree, member, (*path, key), env) for key, member in value.items()}
    if isinstance(value, list):
        return [_expanded(tree, member, (*path, index), env) for index, member in enumerate(value)]
    if not isinstance(value, str) or isinstance(value, LooseText) or "${" not in value:
        return value
    if tree.origins.find(path)[0].entry is None:
        return value  # a variable's text is final: what stands in it may be anybody's password
    try:
        return expand(value, env)
    except ValueError as error:
        tree.refuse(path, str(error), at="inner")
        return value


def value_of_text(text: str) -> Any:
    """Return a variable's text as a TOML table, list or quoted string where it is one, else as LooseText."""
    try:
        parsed = tomllib.loads(f"v = {text}")
    except (ValueError, RecursionError):
        return LooseText(text)
    value = parsed["v"] if len(parsed) == 1 else None
    if isinstance(value, dict | list) and depth_of(value) > MAX_DEPTH:
        return LooseText(text)
    return value if isinstance(value, dict | list | str) else LooseText(text)
