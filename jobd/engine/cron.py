"""When a cron pattern is due next, to the second as BullMQ's Node side computes it (cron-parser 5).

The fields are croniter's to read and to search, by wall clock alone; where a zone's clock jumps is decided here, since
libraries differ in it and a schedule that Node and jobd share must have one next moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

ALIASES = {
    "@yearly": "0 0 0 1 1 *", "@annually": "0 0 0 1 1 *", "@monthly": "0 0 0 1 * *", "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *", "@hourly": "0 0 * * * *", "@minutely": "0 * * * * *", "@secondly": "* * * * * *",
    "@weekdays": "0 0 0 * * 1-5", "@weekends": "0 0 0 * * 0,6",
}  # fmt: skip

_LONGEST_JUMP = timedelta(hours=26)
"""More than any zone's clock ever jumped (Samoa left out a day)."""

_YEARS = 30
"""How far a search looks: 29 February on a given weekday comes within 28 years, but for a century's end."""

_EARLIEST_MS, _LATEST_MS = -60_000_000_000_000, 250_000_000_000_000
"""The years 68 to 9892: a search that begins there stays within those that Python has."""

_FIELDS = ("the second", "the minute", "the hour", "the day of the month", "the month", "the weekday")
_NAMES = {
    4: ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    5: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_NEAREST_WORKDAY = re.compile(r"\d[wW]")
_LAST_WEEKDAY = re.compile(r"\b([0-7])[lL]\b")


class Cron:
    """A pattern in a zone: 5 fields, or 6 with the seconds first; or one of ALIASES.

    Raises:
        InputError: the pattern or the zone is wrong, or croniter is not installed.
    """

    def __init__(self, pattern: str, timezone: str | tzinfo = "UTC") -> None:
        self._zone = zone(timezone) if isinstance(timezone, str) else timezone
        self._search, self._every_hour = _searcher(pattern)

    def after(self, moment_ms: int) -> int | None:
        """Return the first due time strictly after a moment, both ms since 1970; None when there is none.

        Raises:
            InputError: no calendar reaches so far.
        """
        if not _EARLIEST_MS < moment_ms < _LATEST_MS:
            raise InputError(f"{moment_ms} ms from 1970 is beyond the years of a calendar")
        after = datetime.fromtimestamp(moment_ms // 1000, UTC)
        local = after.astimezone(self._zone)
        wall = local.replace(tzinfo=None, fold=0)
        while True:
            found = self._search(wall)
            if found is None:
                return None
            due = self._second_round(local, found) if self._every_hour else None
            due = due or self._moment(found, after)
            if due is not None:
                return int(due.timestamp()) * 1000
            wall = found

    def _moment(self, wall: datetime, after: datetime) -> datetime | None:
        """Return when the clock shows `wall`, the first time that is after `after`; None when it never does."""
        for fold in (0, 1):
            moment = wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)
            shown = moment.astimezone(self._zone).replace(tzinfo=None, fold=0)
            if shown == wall and moment > after:
                return moment
            if shown != wall:
                # Left out by the clock: the run is as much later as the clock jumped, except at the start of a day.
                late = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
                shown = late.astimezone(self._zone)
                return None if self._begins_late(shown) or late <= after else late
        return None

    def _begins_late(self, moment: datetime) -> bool:
        """Tell whether the day of a moment does not begin at midnight."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        first = midnight.replace(tzinfo=self._zone).astimezone(UTC).astimezone(self._zone)
        return first.replace(tzinfo=None) != midnight

    def _second_round(self, local: datetime, found: datetime) -> datetime | None:
        """Return the due time in an hour that the clock shows twice, when `local` is in its first round.

        A pattern of every hour is due in both rounds; one that names hours only in the first.
        """
        second = local.replace(fold=1)
        if local.fold == 1 or second.utcoffset() == local.utcoffset():
            return None
        if _shown_twice(found, self._zone):
            return None  # it is still due in the first round
        again = self._search(_fall_back(local, self._zone) - timedelta(seconds=1))
        if again is None or not _shown_twice(again, self._zone):
            return None
        return again.replace(tzinfo=self._zone, fold=1).astimezone(UTC)


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        InputError: there is none of that name here.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name == "UTC":
        return UTC  # known without the system's table of zones
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    text = f'unknown time zone "{name}"'
    try:
        ZoneInfo("Europe/Athens")
    except (ZoneInfoNotFoundError, OSError):
        text += ": this system has no time zones; install its tzdata, or: pip install tzdata"
    raise InputError(text)


@lru_cache(maxsize=256)
def cron(pattern: str, timezone: str = "UTC") -> Cron:
    """Return a pattern ready to be asked; the same one again costs nothing.

    Raises:
        InputError: as Cron.
    """
    return Cron(pattern, timezone)


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def _shown_twice(wall: datetime, where: tzinfo) -> bool:
    first, second = (wall.replace(tzinfo=where, fold=fold) for fold in (0, 1))
    return _offset(first) > _offset(second)


def _fall_back(local: datetime, where: tzinfo) -> datetime:
    """Return what the clock shows right after it fell back; `local` is a moment it will show again."""
    low, high = local.astimezone(UTC), local.astimezone(UTC) + _LONGEST_JUMP
    before = low.astimezone(where).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(where).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.astimezone(where).replace(tzinfo=None, fold=0, microsecond=0)


def _searcher(pattern: str) -> tuple[Callable[[datetime], datetime | None], bool]:
    """Return what finds the next wall time after another, and whether the pattern names no hours."""
    try:
        from croniter import CroniterBadDateError, croniter
    except ModuleNotFoundError:
        raise InputError(
            "cron patterns need croniter, which is not installed here: pip install 'jobd-mq[cron]'"
        ) from None
    fields = ALIASES.get(pattern.strip().lower(), pattern).split()
    if not 1 <= len(fields) <= 6:
        raise InputError(f'expected 5 or 6 fields such as "15 3 * * *", got "{pattern}"')
    # As cron-parser: what is missing is on the left, and is 0 for the seconds, every one for the rest.
    fields = ["0", *["*"] * (5 - len(fields)), *fields] if len(fields) < 6 else fields
    for index, field in enumerate(fields):
        _check_field(index, field, pattern)
    text = " ".join(_as_croniter(index, field) for index, field in enumerate(fields))

    def search(wall: datetime) -> datetime | None:
        found: Any = croniter(text, wall, ret_type=datetime, second_at_beginning=True, max_years_between_matches=_YEARS)
        try:
            due: datetime = found.get_next(datetime)
        except CroniterBadDateError:
            return None
        return due.replace(tzinfo=None, microsecond=0)

    return search, fields[2] in ("*", "*/1", "0-23")


def _check_field(index: int, field: str, pattern: str) -> None:
    """Refuse what croniter cannot read, and what it reads and Node does not: such a schedule would end there."""
    from croniter import croniter

    alone = ["*"] * 6
    alone[index] = _as_croniter(index, field)
    wrong = _NEAREST_WORKDAY.search(field) or any(_runs_backwards(index, part) for part in field.split(","))
    if not wrong:
        try:
            croniter(" ".join(alone), datetime(2000, 1, 1), second_at_beginning=True)
        except (ValueError, KeyError, AttributeError, TypeError):
            wrong = True
    if wrong:
        raise InputError(f'cannot read "{field}" as {_FIELDS[index]} of the cron pattern "{pattern}"')


def _runs_backwards(index: int, part: str) -> bool:
    """Tell whether a part is a range such as 5-1 or FRI-MON."""
    names = _NAMES.get(index, ())
    ends = [end.lower() for end in part.partition("/")[0].split("-")]
    numbers = [names.index(end) if end in names else int(end) if end.isdecimal() else None for end in ends]
    return len(numbers) == 2 and None not in numbers and numbers[0] > numbers[1]  # type: ignore[operator]


def _as_croniter(index: int, field: str) -> str:
    """Write one field as croniter reads it: the last Friday is L5 there, 5L in Node; ? is any day in both."""
    if field == "?" and index in (3, 5):
        return "*"
    return _LAST_WEEKDAY.sub(r"L\1", field) if index == 5 else field
