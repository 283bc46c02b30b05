"""Where every value of the merged tree came from: a place in a file, or a variable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.config.problems import Problem
from jobd.config.secrets import is_secret, without_secrets
from jobd.locate import star_url
from jobd.locate.files import MAX_FILE_BYTES, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.config.positions import Entry, Path_


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file as it was when it was read. `name` is how messages call it."""

    path: Path
    name: str
    digest: str

    @classmethod
    def of(cls, path: Path, name: str, data: bytes) -> FileRead:
        """Return the record of a file that held `data`."""
        return cls(path, name, hashlib.sha256(data).hexdigest())

    def changed(self) -> bool:
        """Tell whether the file now holds something else, or cannot be read."""
        try:
            return hashlib.sha256(read_regular(self.path, MAX_FILE_BYTES)).hexdigest() != self.digest
        except OSError:
            return True


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of one value: an entry of a file, or (`entry` None) a variable. `lines` are the file's."""

    name: str
    entry: Entry | None = None
    lines: tuple[str, ...] = ()

    def place(self) -> str:
        """ "jobd.toml:6:12", the inside of a string; "$JOBD_APP__NAME" for a variable."""
        if self.entry is None:
            return self.name
        return f"{self.name}:{self.entry.inner.line}:{self.entry.inner.column}"

    def problem(self, message: str, hint: str | None, *, at: str, path: Path_ = ()) -> Problem:
        """Return a problem at the `key`, the `value` or the `inner` of this origin; `path` says what is not shown."""
        if self.entry is None:
            return Problem(self.name, 0, 0, message, hint)
        spot = getattr(self.entry, at)
        source = self.lines[spot.line - 1] if spot.line <= len(self.lines) else None
        if source is not None and path[:2] == ("redis", "url"):
            inner = self.entry.inner
            start, end = inner.column - 1, inner.column - 1 + inner.width
            if spot.line == inner.line:
                source = source[:start] + star_url(source[start:end]) + source[end:]
            source = without_secrets(source)
        elif source is not None:
            source = without_secrets(source, all_values=is_secret(path))
        return Problem(self.name, spot.line, spot.column, message, hint, source, spot.width)


@dataclass
class Origins:
    """{path: origin} of the merged tree; `main` is how the main file is called."""

    main: str
    known: dict[Path_, Origin] = field(default_factory=dict)

    def set(self, path: Path_, origin: Origin) -> None:
        """Let `origin` be where the value at `path` comes from."""
        self.known[path] = origin

    def forget(self, paths: Iterable[Path_]) -> None:
        """Forget where these values came from: they were replaced."""
        for path in paths:
            self.known.pop(path, None)

    def find(self, path: Path_) -> tuple[Origin, bool]:
        """Return the origin of `path`, or of the nearest thing that holds it (then the second is False)."""
        for length in range(len(path), 0, -1):
            found = self.known.get(path[:length])
            if found is not None:
                return found, length == len(path)
        return Origin(self.main), False

    def place(self, path: Path_) -> str:
        """Return "jobd.toml:6:12", "$JOBD_APP__NAME", or "jobd.toml:1:1" when nothing of it was written."""
        origin, _ = self.find(path)
        return f"{self.main}:1:1" if origin.name == self.main and origin.entry is None else origin.place()

    def problem_at(self, path: Path_, message: str, hint: str | None = None, *, at: str = "inner") -> Problem:
        """Return a problem at `path`; a value that was not written is placed at what would hold it."""
        origin, exact = self.find(path)
        if origin.entry is None and origin.name == self.main:
            return Problem(self.main, 1, 1, message, hint)
        return origin.problem(message, hint, at=at if exact else "value", path=path)

    def written(self, path: Path_) -> bool:
        """Tell whether a file or a variable gave the value at `path`."""
        return path in self.known


def depth_of(tree: Any) -> int:
    """Return how deep tables and lists are nested, without recursion: dotted keys can nest thousands deep."""
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
        ]
    return deepest
