"""A problem of the configuration with its place, and how a person reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobd.errors import ConfigError
from jobd.words import cell_width, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobd.config.model import Config

_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a warning.

    `file` is relative to the main file's folder, or "$NAME" for a variable; then `line` and `column` are 0. They count
    characters from 1. `width` is how many characters are meant. `hint` goes beside the caret, its further lines below.
    `source` is the line of the file, secrets already hidden (`without_secrets`).
    """

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    source: str | None = field(default=None, repr=False)
    width: int = 1

    def __post_init__(self) -> None:
        # What the file or a variable holds must not move the cursor of a terminal or split a line of a log.
        object.__setattr__(self, "file", printable(self.file))
        object.__setattr__(self, "message", printable(self.message))
        if self.hint is not None:
            object.__setattr__(self, "hint", "\n".join(printable(line) for line in self.hint.split("\n")))

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
    gap = " " * cell_width(source[: column - 1])
    caret = "^" * max(1, cell_width(source[column - 1 : column - 1 + problem.width]))
    lines.append(f"        | {gap}{caret} {hints[0]}".rstrip())
    lines.extend(f"        | {gap}{hint}" for hint in hints[1:])
    return "\n".join(lines)


def render_problems(problems: Sequence[Problem], main: str = "jobd.toml", *, kept: bool = False) -> str:
    """Return all problems as one text: how many in which file, then each. `kept` says that the old one runs on."""
    count = plural(len(problems), "problem")
    head = f"error: {count} in {main}" + (" (old configuration kept)" if kept else "")
    return "\n\n".join([head, *(render_problem(problem) for problem in problems)])


def in_order(problems: Iterable[Problem], files: Sequence[str]) -> list[Problem]:
    """Return the problems without repetition, in the order of `files`, then of places; variables last."""
    rank = {name: number for number, name in enumerate(dict.fromkeys(files))}
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (rank.get(p.file, len(rank)), p.line, p.column))


class ConfigProblems(ConfigError):
    """A configuration that was refused, with every problem found. `details` are the problems with their places.

    `partial` is what is left without them, None when the syntax is broken: good for finding more problems, not to run.
    `kept` has the text say that the old configuration runs on.
    """

    def __init__(
        self, details: Sequence[Problem], main: str, partial: Config | None = None, *, kept: bool = False
    ) -> None:
        super().__init__(render_problems(details, main, kept=kept), [str(problem) for problem in details])
        self.details = tuple(details)
        self.main = main
        self.partial = partial

    def joined(self, more: Iterable[Problem]) -> ConfigProblems:
        """Return these problems and what the imports of `partial` showed, in one order."""
        files = [file.name for file in self.partial.files] if self.partial else []
        return ConfigProblems(in_order([*self.details, *more], [self.main, *files]), self.main)


def _shown_source(line: str, column: int) -> tuple[str, int]:
    """Return the line as it may be printed (one cell a tab, not too long) and the column in it."""
    clean = "".join(ch if ch.isprintable() else " " for ch in line)
    if len(clean) <= _SHOWN_CHARACTERS:
        return clean, column
    start = max(0, min(column - 1 - _SHOWN_CHARACTERS // 2, len(clean) - _SHOWN_CHARACTERS))
    cut = clean[start : start + _SHOWN_CHARACTERS]
    return ("…" + cut[1:] if start else cut), column - start
