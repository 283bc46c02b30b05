"""Charts as SVG, made here: is it keeping up, since when not, and which queue is it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from jobd.duration import format_duration
from jobd.web import formats
from jobd.web.render import safe
from jobd.web.rows import BEHIND_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobd.operations.documents.history import QueueHistory


_WIDTH, _HEIGHT = 400, 104
_LEFT, _TOP, _BASE = 44, 8, 86
_MINUTE_MS = 60_000
_POINTS = 120
"""A chart has at most so many points: six hours are drawn in steps of three minutes."""

_ROUND_S = (1.0, 2.0, 4.0, 10.0, 20.0, 30.0, 60.0, 120.0, 240.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0,
            28800.0, 43200.0, 86400.0)  # fmt: skip
"""Durations that end a scale: people know them, and their halves."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its answer in words: what it is now, and what is wrong."""

    title: str
    now: str
    note: str
    bad: bool
    svg: Markup


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers by minute, the oldest first; `until` is the end of the last one in milliseconds."""

    until: int
    values: list[float | None]


def charts(queues: Sequence[QueueHistory]) -> list[Chart]:
    """Return the three charts of some queues together: throughput, wait, failures. Nothing is drawn without a past."""
    if not queues or max(len(queue["done"]) for queue in queues) < 3:
        return []
    done, failed = _joined(queues, "done", _sum), _joined(queues, "failed", _sum)
    # The minute that is under way would look like a fall.
    done = Series(done.until - _MINUTE_MS, done.values[:-1])
    found = [_throughput(done)]
    if any(value is not None for queue in queues for value in queue["oldest_s"]):
        found.append(_wait(queues))
    return [*found, _failures(queues, failed)]


def spark(queue: QueueHistory) -> Markup:
    """Return the last hour of a queue's throughput as an area the height of a row of text."""
    values = [value or 0.0 for value in queue["done"][-60:]]
    if len(values) < 2:
        return safe("")
    top = max([*values, 1.0])
    step = 84 / 59
    points = " ".join(
        f"{84 - (len(values) - 1 - i) * step:.1f},{17 - value / top * 15:.1f}" for i, value in enumerate(values)
    )
    label = f"{formats.count(sum(values))} done in the last hour, at most {formats.count(max(values))} a minute"
    return safe(
        f'<svg class="spark" viewBox="0 0 84 18" role="img" aria-label="{escape(label)}">'
        f'<polygon class="plot-area" points="{84 - (len(values) - 1) * step:.1f},17 {points} 84,17"/>'
        f'<polyline class="plot-line" points="{points}"/></svg>'
    )


def _throughput(done: Series) -> Chart:
    last = [value or 0.0 for value in done.values[-5:]] or [0.0]
    now = sum(last) / len(last)
    total = sum(value or 0.0 for value in done.values)
    note = f"{formats.count(total)} in {format_duration(len(done.values) * _MINUTE_MS)}"
    svg = _drawn(done, "line", _count_scale, formats.count, f"Jobs done per minute, now {now:.0f}")
    shown = formats.count(now) if now >= 10 or now == 0 else f"{now:.1f}"
    return Chart("Done per minute", shown, note, False, svg)


def _wait(queues: Sequence[QueueHistory]) -> Chart:
    oldest = _joined(queues, "oldest_s", _max)
    current = {queue["name"]: _last(queue["oldest_s"]) or 0.0 for queue in queues}
    worst = max(current, key=lambda name: current[name])
    bad = current[worst] > BEHIND_S
    note = "keeping up"
    if bad:
        series = next(queue["oldest_s"] for queue in queues if queue["name"] == worst)
        since = oldest.until - _run(series, lambda value: value is not None and value > BEHIND_S) * _MINUTE_MS
        where = f"{worst}: " if len(queues) > 1 else ""
        note = f"{where}behind since {_clock(since)}"
    now = current[worst]
    svg = _drawn(
        oldest, "line", _seconds_scale, lambda value: format_duration(value * 1000), f"Longest wait, {note}"
    )  # fmt: skip
    return Chart("Oldest waiting", format_duration(now * 1000) if now else "none", note, bad, svg)


def _failures(queues: Sequence[QueueHistory], failed: Series) -> Chart:
    hour = {queue["name"]: sum(value or 0.0 for value in queue["failed"][-60:]) for queue in queues}
    worst = max(hour, key=lambda name: hour[name])
    total = sum(hour.values())
    note = ""
    if total:
        runs = sum(value or 0.0 for queue in queues for value in queue["done"][-60:]) or total
        note = f"{total / runs:.1%} of attempts" if len(queues) == 1 else f"most in {worst}"
    told = f"Failed attempts per minute, {formats.count(total)} in the last hour"
    svg = _drawn(failed, "bars", _count_scale, formats.count, told)
    return Chart("Failed attempts", f"{formats.count(total) if total else 'none'} in 1h", note, bool(total), svg)


def _drawn(
    series: Series, kind: str, end_of: Callable[[float], float], tell: Callable[[float], str], label: str
) -> Markup:
    """Return the picture: an area or bars over a time axis. `end_of` rounds the highest value up to where it ends."""
    values, per = _thinned(series.values)
    highest = max([value for value in values if value is not None] or [0.0])
    top = end_of(highest) if highest else 0.0
    scale = (_BASE - _TOP) / (top or 1.0)
    inset = 4 if kind == "bars" else 0  # half of the widest bar: the first one would stand on the axis' labels
    step = (_WIDTH - _LEFT - 4 - 2 * inset) / max(len(values) - 1, 1)
    spots = [
        (_LEFT + inset + at * step, _BASE - value * scale) if value is not None else None
        for at, value in enumerate(values)
    ]
    parts = [f'<line class="plot-axis" x1="{_LEFT}" y1="{_BASE}" x2="{_WIDTH - 4}" y2="{_BASE}"/>']
    for share in (0.5, 1.0) if top else ():
        y = _BASE - share * (_BASE - _TOP)
        parts.append(f'<line class="plot-grid" x1="{_LEFT}" y1="{y:.0f}" x2="{_WIDTH - 4}" y2="{y:.0f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(tell(share * top))}</text>')
    if kind == "bars":
        width = max(min(step * 0.7, 8), 1.2)
        parts += [
            f'<rect class="plot-bad" x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BASE - y:.1f}"/>'
            for x, y in filter(None, spots)
            if y < _BASE
        ]
    else:
        parts += [_area(run) for run in _runs(spots)]
    parts.append(f'<text x="{_LEFT - 6}" y="{_BASE}" text-anchor="end">0</text>')
    parts += _ticks(series.until, len(values) * per)
    return safe(f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')


def _count_scale(highest: float) -> float:
    """Return a round number whose half is a whole number as well."""
    power = 1.0
    while 10 * power < highest:
        power *= 10
    ends = (2, 4, 6, 8, 10) if power == 1 else (1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
    return next(end * power for end in ends if end * power >= highest)


def _seconds_scale(highest: float) -> float:
    """Return a duration that people know."""
    if highest > _ROUND_S[-1]:
        return _ROUND_S[-1] * _count_scale(highest / _ROUND_S[-1])
    return _ROUND_S[bisect_left(_ROUND_S, highest)]


def _area(run: Sequence[tuple[float, float]]) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
    closed = f"{run[0][0]:.1f},{_BASE} {line} {run[-1][0]:.1f},{_BASE}"
    return f'<polygon class="plot-area" points="{closed}"/><polyline class="plot-line" points="{line}"/>'


def _ticks(until: int, minutes: int) -> list[str]:
    """Return the clock at both ends and in the middle, in UTC as all moments of the page."""
    found = []
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = _LEFT + share * (_WIDTH - _LEFT - 4)
        at = _clock(until - (1 - share) * minutes * _MINUTE_MS)
        found.append(f'<text x="{x:.0f}" y="{_BASE + 14}" text-anchor="{anchor}">{at}</text>')
    return found


def _thinned(values: Sequence[float | None]) -> tuple[list[float | None], int]:
    """Return the values in steps of so many minutes that they fit, each step its average, and the minutes of a step."""
    per = -(-len(values) // _POINTS)
    if per <= 1:
        return list(values), 1
    first = len(values) % per
    steps = [values[:first]] if first else []
    steps += [values[at : at + per] for at in range(first, len(values), per)]
    return [_average(step) for step in steps], per


def _average(step: Sequence[float | None]) -> float | None:
    known = [value for value in step if value is not None]
    return sum(known) / len(known) if known else None


def _runs(spots: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Return the stretches without a gap."""
    found: list[list[tuple[float, float]]] = [[]]
    for spot in spots:
        if spot is None:
            found.append([])
        else:
            found[-1].append(spot)
    return [run for run in found if len(run) > 1]


def _joined(queues: Sequence[QueueHistory], name: str, join: Callable[[list[float]], float]) -> Series:
    """Return the numbers of all queues together, minute by minute of the same clock."""
    until = max(queue["until"] for queue in queues)
    by_minute: dict[int, list[float]] = {}
    longest = 0
    for queue in queues:
        numbers: Sequence[float | None] = {**queue}[name]  # type: ignore[assignment]
        behind = (until - queue["until"]) // _MINUTE_MS
        longest = max(longest, len(numbers) + behind)
        for back, value in enumerate(reversed(numbers), start=behind):
            if value is not None:
                by_minute.setdefault(back, []).append(value)
    values = [join(by_minute[back]) if back in by_minute else None for back in reversed(range(longest))]
    return Series(until, values)


def _sum(values: list[float]) -> float:
    return sum(values)


def _max(values: list[float]) -> float:
    return max(values)


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _run(values: Sequence[float | None], fits: Callable[[float | None], bool]) -> int:
    """Return how many of the last values fit."""
    count = 0
    for value in reversed(values):
        if not fits(value):
            break
        count += 1
    return count


def _clock(at_ms: float) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M")
