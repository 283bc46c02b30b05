"""Run what a Markdown page shows.

A comment on the line before a fenced block says what the test does with it:

    <!-- run: NAME -->           ```console: lines with "$ " are typed, the lines below each are what it prints
    <!-- file: NAME PATH -->     the block is the content of PATH
    <!-- not run: REASON -->     nothing

All blocks of one NAME run in order in one temporary folder. A command fails the test when it does not exit with 0, or
with N where its comment says `exit N`. `jobd run` goes on in the background and the next command waits for ready.
What is shown is compared line by line: `...` stands for anything (on a line of its own: for any lines), a number,
with or without a unit, for any number, except on lines of JSON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=fence)$", re.M | re.S
)
_EXIT = re.compile(r"#.*\bexit (\d+)")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:ms|us|kB|MB|GB|MiB|[smhd%])?\b")
_ANYTHING = re.compile(r"\.\.\.|…")


class Kind(Enum):
    """What a block's mark asks for."""

    RUN = "run"
    FILE = "file"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Block:
    """A fenced block. `mark` is None without a comment; `path` only with FILE. `line` counts from 1."""

    line: int
    language: str
    body: str
    mark: Kind | None
    name: str = ""
    path: str = ""


@dataclass(frozen=True)
class Step:
    """One typed command, the exit code it must have, and the lines shown below it."""

    command: str
    exit_code: int
    shown: tuple[str, ...]


def blocks(page: str) -> list[Block]:
    """Return all fenced blocks of a page, in order."""
    return [_block(found, page.count("\n", 0, found.start()) + 1) for found in _BLOCK.finditer(page)]


def steps(body: str) -> list[Step]:
    """Return the commands of a console block; a backslash at the end of a line joins the next one to it."""
    found: list[tuple[str, list[str]]] = []
    for line in body.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            found.append((line[2:].strip(), []))
        elif found:
            found[-1][1].append(line.rstrip())
    return [Step(command, _exit_code(command), tuple(shown)) for command, shown in found]


def differs(shown: tuple[str, ...], printed: str) -> str | None:
    """Return the first shown line that was not printed in its place, None when all were; nothing shown is fine."""
    lines = [line.rstrip() for line in printed.splitlines()]
    at, loose = 0, False
    for line in shown:
        if not line:
            continue
        if _ANYTHING.fullmatch(line.strip()):
            loose = True
            continue
        pattern = _pattern(line)
        while at < len(lines) and (not lines[at] or (loose and not pattern.fullmatch(lines[at]))):
            at += 1
        if at == len(lines) or not pattern.fullmatch(lines[at]):
            return line
        at, loose = at + 1, False
    return None


def _block(found: re.Match[str], line: int) -> Block:
    kind, _, rest = (found["mark"] or "").partition(":")
    mark = Kind(kind) if kind in {member.value for member in Kind} else None
    name, _, path = rest.strip().partition(" ")
    return Block(line, found["language"], found["body"], mark, name, path.strip())


def _exit_code(command: str) -> int:
    found = _EXIT.search(command)
    return int(found[1]) if found else 0


def _pattern(line: str) -> re.Pattern[str]:
    is_json = line.lstrip().startswith(("{", "[", '"'))
    pieces = []
    for piece in re.split(r"(\.\.\.|…|\s+)", line):
        if _ANYTHING.fullmatch(piece):
            pieces.append(".*?")
        elif piece.isspace():
            pieces.append(r"\s+")
        else:
            pieces.append(re.escape(piece) if is_json else _with_any_numbers(piece))
    return re.compile("".join(pieces))


def _with_any_numbers(text: str) -> str:
    texts = [re.escape(piece) for piece in _NUMBER.split(text)]
    return _NUMBER.pattern.join(texts)
