"""Columns of text, wide characters counted right, fitted to the terminal."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.words import cell_width, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand at the `right`. `spare`: the higher, the sooner left out where there is no room."""

    heading: str
    right: bool = False
    spare: int = 0


def terminal_width() -> int | None:
    """Return the columns of the terminal that stdout is, None when it is none: then nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None) -> Iterator[str]:
    """Yield the heading and a line per row; the last column is cut, others are left out, until `width` holds it."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max([cell_width(column.heading), *(cell_width(row[at]) for row in cells)]) for at, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    while width is not None and _total(shown, widths) > width:
        spare = max(shown, key=lambda at: columns[at].spare)
        if not columns[spare].spare:
            break
        shown.remove(spare)
    for row in [[column.heading for column in columns], *cells]:
        line = GAP.join(padded(row[at], widths[at], right=columns[at].right) for at in shown).rstrip()
        yield line if width is None else cut(line, width)


def _total(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + len(GAP) * (len(shown) - 1)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` filled up with blanks to `width` cells."""
    blanks = " " * max(0, width - cell_width(text))
    return blanks + text if right else text + blanks


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, an ellipsis where it was cut."""
    if cell_width(text) <= width:
        return text
    while text and cell_width(text) > width - 1:
        text = text[:-1]
    return text + "…"
