"""A measured figure, the bar it is held to, and the table of both."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from statistics import median
from typing import Any


class Hold(Enum):
    """How a bar is read."""

    RATIO_AT_LEAST = "ratio at least"
    RATIO_AT_MOST = "ratio at most"
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True)
class Bar:
    """What a figure is held to: a ratio jobd / BullMQ, or a value in the figure's unit."""

    hold: Hold
    value: float

    def met(self, jobd: float, ratio: float | None) -> bool | None:
        """Whether the figure holds; None when the other side was not measured."""
        if self.hold is Hold.AT_LEAST:
            return jobd >= self.value
        if self.hold is Hold.AT_MOST:
            return jobd <= self.value
        if ratio is None:
            return None
        return ratio >= self.value if self.hold is Hold.RATIO_AT_LEAST else ratio <= self.value

    def __str__(self) -> str:
        sign = ">=" if self.hold in (Hold.RATIO_AT_LEAST, Hold.AT_LEAST) else "<="
        return f"{sign} {self.value:,g}{' x' if self.hold in (Hold.RATIO_AT_LEAST, Hold.RATIO_AT_MOST) else ''}"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `node` is None for what BullMQ does not have or was not asked for."""

    name: str
    unit: str
    jobd: float
    node: float | None = None
    bar: Bar | None = None
    ratios: tuple[float, ...] = ()
    """jobd / BullMQ of each round, ascending; empty where there was one round or one side."""

    @property
    def ratio(self) -> float | None:
        """jobd / BullMQ, the median of the rounds; None when there is nothing to compare with."""
        if self.ratios:
            return median(self.ratios)
        return self.jobd / self.node if self.node else None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar or without the other side."""
        return self.bar.met(self.jobd, self.ratio) if self.bar else None

    def as_json(self) -> dict[str, Any]:
        """The figure as a JSON object."""
        bar = str(self.bar) if self.bar else None
        return {**asdict(self), "bar": bar, "ratio": self.ratio, "met": self.met}


def compared(name: str, unit: str, measured: tuple[float, float, list[float]], bar: Bar | None = None) -> Figure:
    """Return the figure of both sides as `Rounds.figures` gives it."""
    ours, theirs, ratios = measured
    return Figure(name, unit, ours, theirs, bar, tuple(ratios))


def at_least(value: float) -> Bar:
    """The figure itself, in its unit, is at least this."""
    return Bar(Hold.AT_LEAST, value)


def at_most(value: float) -> Bar:
    """The figure itself, in its unit, is at most this."""
    return Bar(Hold.AT_MOST, value)


def ratio_at_least(value: float) -> Bar:
    """jobd / BullMQ is at least this."""
    return Bar(Hold.RATIO_AT_LEAST, value)


def ratio_at_most(value: float) -> Bar:
    """jobd / BullMQ is at most this."""
    return Bar(Hold.RATIO_AT_MOST, value)


def table(figures: list[Figure]) -> str:
    """All figures as aligned text."""
    rows = [("", "unit", "jobd", "BullMQ", "ratio", "bar", ""), *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligns = "<<>>>><"
    lines = [
        "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(row, aligns, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _row(one: Figure) -> tuple[str, ...]:
    ratio = f"{one.ratio:.2f}" if one.ratio is not None else ""
    if len(one.ratios) > 1:
        ratio += f" ({one.ratios[0]:.2f} to {one.ratios[-1]:.2f})"
    bar = str(one.bar) if one.bar else ""
    verdict = {True: "met", False: "MISSED", None: ""}[one.met]
    return one.name, one.unit, _number(one.jobd), _number(one.node), ratio, bar, verdict


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
