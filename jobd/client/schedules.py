"""What a producer says about a schedule, checked and turned into commands; both queues run them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from jobd.clock import SYSTEM_CLOCK
from jobd.duration import to_ms
from jobd.engine.add_options import EachOptions
from jobd.engine.codes import Code
from jobd.engine.options import kind_of
from jobd.engine.schedulers import Repeat, Template, check_scheduler_id, upsert_scheduler
from jobd.errors import InputError, JobdError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command


class ScheduleOptions(TypedDict, total=False):
    """When a schedule's jobs are due. Lengths: texts such as "5m", or seconds; moments: datetimes, or ms since 1970.

    One of `every` and `cron` (5 fields, or 6 with the seconds first) is needed; `timezone` goes with `cron`, else UTC.
    `limit`: so many runs; `start`, `end`: not before and not after; `offset`: `every` counts from 1970 plus this, else
    from the first run; `immediately`: the first run of a `cron` is at once (that of an `every` always is).
    """

    every: str | float | timedelta | None
    cron: str | None
    timezone: str | None
    limit: int | None
    start: datetime | float | None
    end: datetime | float | None
    offset: str | float | timedelta | None
    immediately: bool


class ScheduledOptions(ScheduleOptions, EachOptions, total=False):
    """When a schedule's jobs are due, and what holds for each of them."""


_OWN = frozenset(ScheduleOptions.__annotations__)


def schedule_command(
    keys: Keys, sid: str, name: str | None, data: Any, options: Mapping[str, Any]
) -> Command[tuple[str, int]] | None:
    """Return what makes or changes a schedule; None when it would never be due.

    Raises:
        InputError: something is wrong; the text names it.
    """
    now_ms = SYSTEM_CLOCK.now_ms()
    repeat, template = read_schedule(sid, name, data, options, now_ms)
    return upsert_scheduler(keys, sid, repeat, template, now_ms=now_ms)


def read_schedule(
    sid: str, name: str | None, data: Any, options: Mapping[str, Any], now_ms: int
) -> tuple[Repeat, Template]:
    """Return when its jobs are due and what they are. Raises InputError."""
    when = {key: value for key, value in options.items() if key in _OWN and value is not None}
    cron = when.get("cron")
    if cron is not None and not isinstance(cron, str):
        raise InputError(f"cron: expected text, got {kind_of(cron)}")
    repeat = Repeat(
        _length("every", when),
        cron,
        when.get("timezone") or (None if cron is None else "UTC"),
        _count("limit", when),
        _moment("start", when),
        _moment("end", when),
        _length("offset", when),
        bool(when.get("immediately", False)) and cron is not None,
    ).checked(now_ms)
    rest = {key: value for key, value in options.items() if key not in _OWN}
    return repeat, Template.of(check_scheduler_id(sid) if name is None else name, data, rest, now_ms=now_ms)


def scheduled(sid: str, answer: tuple[str, int]) -> str:
    """Return the id of the job that is due next.

    Raises:
        JobdError: jobs of the schedule's next slots are there already.
    """
    job_id, code = answer
    if code in (Code.ITERATION_EXISTS, Code.SLOTS_TAKEN):
        raise JobdError(f'cannot schedule "{sid}": there is a job already where its next run would be')
    return job_id


def _length(name: str, when: Mapping[str, Any]) -> int | None:
    if name not in when:
        return None
    try:
        return to_ms(when[name])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _count(name: str, when: Mapping[str, Any]) -> int | None:
    value = when.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InputError(f"{name}: expected a whole number, got {value!r}")
    return value


def _moment(name: str, when: Mapping[str, Any]) -> int | None:
    value = when.get(name)
    if value is None:
        return None
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name}: expected a datetime or milliseconds since 1970, got {value!r}")
    return int(value)
