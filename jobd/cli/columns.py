"""Text in columns: many things as a table fitted to the terminal, one thing as lines of `name  value`."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.words import cell_width, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    head = text[: 4 * width]  # the results of jobs have megabytes; signs that combine take no cell
    if len(head) == len(text) and cell_width(text) <= width:
        return text
    while head and cell_width(head) > width - 1:
        head = head[:-1]
    return head + "…"


def fields(document: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield a line for each field that says something; texts of several lines and lists are indented."""
    width = max((len(name) for name in document), default=0)
    for name, value in document.items():
        if value in (None, [], {}):
            continue
        if isinstance(value, list):
            yield f"{indent}{name}:"
            for item in value:
                yield from _item(item, indent + "  ")
        elif isinstance(value, str) and "\n" in value:
            yield f"{indent}{name}:"
            yield from _item(value, indent + "  ")
        else:
            yield f"{indent}{name:<{width}}  {moment(value) if _ismoment(name, value) else _text(value)}"


def _item(item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, dict):
        yield indent + "  ".join(f"{name}={_text(value)}" for name, value in item.items() if value not in (None, []))
    else:
        for line in str(item).splitlines():
            yield indent + printable(line)


def _ismoment(name: str, value: Any) -> bool:
    return (name == "timestamp" or name.endswith("_at")) and isinstance(value, int) and value > 10**11


def moment(ms: int) -> str:
    """Return a moment (ms since 1970) as this host's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(ms / 1000))


def _text(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
