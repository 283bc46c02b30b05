"""Tables that keep their cursor on the same thing while rows come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from jobd.cli.top.drawing import CHART, CHARTS, NUMBERS, STYLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Rows(DataTable[Text]):
    """A table of named rows; `show` brings it up to date."""

    # A row is one thing here: the first and the last of them are what these keys mean, not the columns.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, headings: Sequence[str], name: str) -> None:
        super().__init__(id=name, cursor_type="row", zebra_stripes=False, cell_padding=1)
        self.show_cursor = False
        self._headings = tuple(headings)
        self._rows_shown: dict[str, Sequence[str]] = {}
        self._columns_left_out: frozenset[int] = frozenset()

    def on_mount(self) -> None:
        """Have the columns."""
        self._make_columns()

    def on_focus(self) -> None:
        """The keys are about a row of this table now, and the row says so."""
        self.show_cursor = True

    def on_blur(self) -> None:
        """They are about another one's."""
        self.show_cursor = False

    def _make_columns(self) -> None:
        for at, heading in enumerate(self._headings):
            if at not in self._columns_left_out:
                self.add_column(self._styled(heading, at), key=str(at))

    def leave_out(self, columns: frozenset[int]) -> None:
        """Show all columns but these: what a narrow terminal has no room for."""
        if columns != self._columns_left_out:
            self._columns_left_out = columns
            cells, chosen = self._rows_shown, self.chosen
            self.clear(columns=True)
            self._rows_shown = {}
            self._make_columns()
            self.show(cells, chosen)

    @property
    def chosen(self) -> str | None:
        """The name of the row under the cursor."""
        names = list(self._rows_shown)
        return names[self.cursor_row] if 0 <= self.cursor_row < len(names) else None

    def show(self, rows: Mapping[str, Sequence[str]], choose: str | None = None) -> None:
        """Have these rows, in this order; cells that did not change are left alone."""
        self._make_room(rows)
        if list(rows) == list(self._rows_shown):
            for name, cells in rows.items():
                before = self._rows_shown[name]
                for at, (old, new) in enumerate(zip(before, cells, strict=True)):
                    if old != new and at not in self._columns_left_out:
                        self.update_cell(name, str(at), self._styled(new, at))
            self._rows_shown = dict(rows)
            return
        chosen, at = choose or self.chosen or "", self.cursor_row
        self.clear()
        self._rows_shown = dict(rows)
        for name, cells in rows.items():
            shown = [
                self._styled(cell, place) for place, cell in enumerate(cells) if place not in self._columns_left_out
            ]
            self.add_row(*shown, key=name)
        names = list(rows)
        if names:
            self.move_cursor(row=names.index(chosen) if chosen in names else min(max(at, 0), len(names) - 1))

    def _make_room(self, rows: Mapping[str, Sequence[str]]) -> None:
        """Give each column the width of its widest cell, before the cells are there.

        The table would measure them by itself, but when it is idle: lines that were drawn meanwhile stay as they are,
        cut at the old width.
        """
        for key, column in self.columns.items():
            at = int(key.value or 0)
            column.auto_width = False
            column.width = max(map(cell_len, (self._headings[at], *(cells[at] for cells in rows.values()))))

    def _styled(self, cell: str, at: int) -> Text:
        """Return a cell of a column as it is, whatever looks like markup in it."""
        heading = self._headings[at]
        style = CHART if heading in CHARTS and cell != heading else STYLES.get(cell.strip(), "")
        return Text(cell, style=style, no_wrap=True, justify="right" if heading in NUMBERS else "left")
