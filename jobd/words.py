"""Text for people, and what they write: a handler's form, the nearest name, plurals, orders, cells of a terminal."""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_HANDLER_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the known name that was probably meant, None when none is near. `likeness` is difflib's cutoff."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), 1, likeness)
    return found[0] if found else None


def is_handler_path(text: str) -> bool:
    """Return whether text has the form `package.module:attribute`, or `module:Class.method`."""
    return _HANDLER_PATH.fullmatch(text) is not None


def plural(count: int, noun: str) -> str:
    """Return "1 job", "3 jobs"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts tenant-2 before tenant-10, and line 9 before line 10."""
    return [_number_key(part) if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _number_key(digits: str) -> tuple[int, str]:
    """Return what numbers sort by; int() refuses those of thousands of digits, which a name may have."""
    significant = digits.lstrip("0")
    return len(significant), significant


def printable(text: object) -> str:
    """Return text as one line that cannot move a terminal's cursor: what is no printable character as an escape."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode("ascii") for ch in written)


def shell_word(text: str) -> str:
    """Return text as one word of a command line that can be shown and pasted.

    What is no printable character is written as bash, zsh and ksh read it in $'…'.
    """
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_in_dollar_quotes, text)) + "'"


def _in_dollar_quotes(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def cell_width(text: str) -> int:
    """Return how many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text if not unicodedata.combining(ch))
