"""Where each key and value of a TOML file stands. tomllib keeps no positions; tree-sitter does, in bytes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """A stretch of one line; line and column count characters from 1."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one key stands and where its value does. `inner` is what a string's quotes enclose, else the value."""

    key: Spot
    value: Spot
    inner: Spot


@lru_cache(maxsize=1)
def _parser() -> Parser:
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_toml.language()))


def positions(text: str) -> dict[Path_, Entry]:
    """Return {path: entry} of a text that tomllib has read; tables stand at their header, list members by index."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._data = text.encode()
        self._lines = self._data.split(b"\n")
        self._found: dict[Path_, Entry] = {}
        self._arrays: dict[Path_, int] = {}

    def read(self) -> dict[Path_, Entry]:
        for node in _parser().parse(self._data).root_node.children:
            if node.type == "pair":
                self._pair(node, ())
            elif node.type in {"table", "table_array_element"}:
                self._table(node)
        return self._found

    def _table(self, node: Node) -> None:
        named = [child for child in node.named_children if child.type != "comment"]
        if not named:
            return
        keys = list(_keys(named[0]))
        path: Path_ = ()
        for number, (name, key) in enumerate(keys, start=1):
            path = (*path, name)
            spot = self._spot(key)
            last = number == len(keys)
            if last and node.type == "table_array_element":
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if last or path not in self._found:
                self._found[path] = Entry(spot, spot, spot)
            if path in self._arrays:
                path = (*path, self._arrays[path])
                self._found.setdefault(path, Entry(spot, spot, spot))
        for child in named[1:]:
            if child.type == "pair":
                self._pair(child, path)

    def _pair(self, node: Node, base: Path_) -> None:
        named = [child for child in node.named_children if child.type != "comment"]
        if len(named) < 2:
            return  # tree-sitter read a line otherwise than tomllib; the table around it is the place then
        key, value = named[0], named[-1]
        path, key_spot = base, self._spot(key)
        value_spot = self._spot(value)
        for name, part in _keys(key):
            path = (*path, name)
            key_spot = self._spot(part)
            self._found.setdefault(path, Entry(key_spot, key_spot, key_spot))
        self._found[path] = Entry(key_spot, value_spot, self._inner(value, value_spot))
        self._inside(value, path)

    def _inside(self, value: Node, path: Path_) -> None:
        if value.type == "inline_table":
            for child in value.named_children:
                if child.type == "pair":
                    self._pair(child, path)
        elif value.type == "array":
            members = [child for child in value.named_children if child.type != "comment"]
            for index, member in enumerate(members):
                spot = self._spot(member)
                self._found[(*path, index)] = Entry(spot, spot, self._inner(member, spot))
                self._inside(member, (*path, index))

    def _inner(self, value: Node, spot: Spot) -> Spot:
        if value.type != "string" or spot.width < 2 or value.start_point[0] != value.end_point[0]:
            return spot
        text = self._data[value.start_byte : value.end_byte]
        quotes = 3 if text[:3] in {b'"""', b"'''"} and len(text) >= 6 else 1
        return Spot(spot.line, spot.column + quotes, max(1, spot.width - 2 * quotes))

    def _spot(self, node: Node) -> Spot:
        row, column = node.start_point
        end_row, end_column = node.end_point
        line = self._lines[row]
        start = len(line[:column].decode(errors="replace"))
        end = len((line[:end_column] if end_row == row else line.rstrip(b"\r")).decode(errors="replace"))
        return Spot(row + 1, start + 1, max(1, end - start))


def _keys(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield (name, node) of each part of a key, in order. Dotted keys lean left and can be long: no recursion."""
    parts: list[Node] = []
    while node.type == "dotted_key":
        named = node.named_children
        parts.extend(reversed(named[1:]))
        node = named[0]
    for part in [node, *reversed(parts)]:
        yield _name(part), part


def _name(node: Node) -> str:
    text = (node.text or b"").decode(errors="replace")
    if node.type != "quoted_key":
        return text
    try:
        return next(iter(tomllib.loads(f"{text} = 0")))
    except ValueError:
        return text
