"""A problem of the configuration with its place, and how a person reads it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECRET_NAME = re.compile(r"passw|secret|token|credential|api_?key|private", re.IGNORECASE)
"""Names whose values are not repeated in messages."""

_USERINFO = re.compile(r"(?<=://)([^:/\s\"']*:)([^/\s\"']+)(?=@)")
_ASSIGNED = re.compile(r"([A-Za-z0-9_\-.\"']+\s*=\s*)(\"[^\"]*\"?|'[^']*'?|[^\s,}\]{\[]+)")
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a warning.

    `file` is relative to the main file's folder, or "$NAME" for a variable; then `line` and `column` are 0. They count
    characters from 1. `width` is how many characters are meant. `hint` goes beside the caret, its further lines below.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    source: str | None = field(default=None, repr=False)
    width: int = 1

    @property
    def place(self) -> str:
        """ "jobd.toml:14:1", or "$JOBD_REDIS_URL"."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place} {self.message}" + (f"; {self.hint.splitlines()[0]}" if self.hint else "")


def render_problem(problem: Problem) -> str:
    """Return the place and message, the line of the file, and a caret under what is meant, each line indented."""
    if not problem.line:
        hint = f"\n        {problem.hint}" if problem.hint else ""
        return f"  {problem.place}  {problem.message}{hint}"
    lines = [f"  {problem.file}:{problem.line}:{problem.column:<2}  {problem.message}"]
    hints = (problem.hint or "").splitlines() or [""]
    if problem.source is None:
        return "\n".join([*lines, *(f"        {hint}" for hint in hints if hint)])
    source, column = _shown_source(problem.source, problem.column)
    lines.append(f"{problem.line:>7} | {source}".rstrip())
    gap = " " * _cells(source[: column - 1])
    caret = "^" * max(1, _cells(source[column - 1 : column - 1 + problem.width]))
    lines.append(f"        | {gap}{caret} {hints[0]}".rstrip())
    lines.extend(f"        | {gap}{hint}" for hint in hints[1:])
    return "\n".join(lines)


def render_problems(problems: Sequence[Problem], main: str = "jobd.toml", *, kept: bool = False) -> str:
    """Return all problems as one text: how many in which file, then each. `kept` says that the old one runs on."""
    count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
    head = f"error: {count} in {main}" + (" (old configuration kept)" if kept else "")
    return "\n\n".join([head, *(render_problem(problem) for problem in problems)])


def in_order(problems: Iterable[Problem], files: Sequence[str]) -> list[Problem]:
    """Return the problems without repetition, in the order of `files`, then of places; variables last."""
    rank = {name: number for number, name in enumerate(dict.fromkeys(files))}
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (rank.get(p.file, len(rank)), p.line, p.column))


class ConfigProblems(ConfigError):
    """A configuration that was refused, with every problem found. `details` are the problems with their places."""

    def __init__(self, details: Sequence[Problem], main: str) -> None:
        super().__init__(render_problems(details, main), [str(problem) for problem in details])
        self.details = tuple(details)
        self.main = main

    def render(self, *, kept: bool = False) -> str:
        """Return the text for people; `kept` says that the old configuration runs on."""
        return render_problems(self.details, self.main, kept=kept)


def _shown_source(line: str, column: int) -> tuple[str, int]:
    """Return the line as it may be printed (one cell a tab, no secrets, not too long) and the column in it."""
    masked = _USERINFO.sub(_hide_password, _ASSIGNED.sub(_hide_value, line))
    clean = "".join(ch if ch.isprintable() else " " for ch in masked)
    if len(clean) <= _SHOWN_CHARACTERS:
        return clean, column
    start = max(0, min(column - 1 - _SHOWN_CHARACTERS // 2, len(clean) - _SHOWN_CHARACTERS))
    cut = clean[start : start + _SHOWN_CHARACTERS]
    return ("…" + cut[1:] if start else cut), column - start


def _hide_password(found: re.Match[str]) -> str:
    return found[1] + "*" * len(found[2])


def _hide_value(found: re.Match[str]) -> str:
    # As many stars as characters, so that the columns of what follows stay true.
    return found[1] + "*" * len(found[2]) if SECRET_NAME.search(found[1]) else found[0]


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text if not unicodedata.combining(ch))
