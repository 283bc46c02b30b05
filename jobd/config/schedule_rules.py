"""Rules of [schedules]: its queue, when it is due, and what goes with what."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from jobd.engine.cron import Cron, zone
from jobd.engine.options import encode_data
from jobd.errors import InputError
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.model import Queue, Schedule
    from jobd.config.positions import Path_
    from jobd.config.tree import Tree


def check_schedule(tree: Tree, schedule: Schedule, path: Path_, queues: Mapping[str, Queue]) -> None:
    """Note what is wrong with one schedule."""
    if schedule.queue not in queues and not tree.is_broken(("queues", schedule.queue)):
        near = nearest(schedule.queue, queues)
        hint = f"did you mean `{near}`?" if near else None
        tree.refuse((*path, "queue"), f"there is no queue `{schedule.queue}` in [queues]", hint)
    whens = [key for key in ("cron", "every") if tree.origins.written((*path, key))]
    if len(whens) != 1:
        tree.refuse((*path, whens[1]) if whens else path, "a schedule has one of `cron` and `every`", at="key")
    _check_pattern(tree, schedule, path)
    for key, other in (("timezone", "cron"), ("immediately", "cron"), ("offset", "every")):
        if other not in whens and whens and tree.origins.written((*path, key)):
            tree.refuse((*path, key), f"`{key}` goes with `{other}`", at="key")
    if schedule.immediately and schedule.start_at is not None:
        tree.refuse((*path, "start"), "`start` and `immediately` cannot stand together", at="key")
    if schedule.start_at is not None and schedule.end_at is not None and schedule.end_at <= schedule.start_at:
        tree.refuse((*path, "end"), "`end` is not after `start`")
    if schedule.every_ms is not None and schedule.jitter_ms >= schedule.every_ms:
        tree.refuse((*path, "jitter"), "`jitter` must be shorter than `every`")
    try:
        encode_data({} if schedule.data is None else schedule.data)
    except InputError as error:
        tree.refuse((*path, "data"), str(error))


def _check_pattern(tree: Tree, schedule: Schedule, path: Path_) -> None:
    """Note a zone that is none here, and a pattern that cannot be read or is never due."""
    where: tzinfo = UTC
    try:
        where = zone(schedule.timezone)
    except InputError:
        message = f'expected a timezone such as "Europe/Athens", got "{schedule.timezone}"'
        tree.refuse((*path, "timezone"), message, _near_zone(schedule.timezone))
    if schedule.cron is not None:
        wrong = _wrong_pattern(schedule.cron, where)
        if wrong is not None:
            tree.refuse((*path, "cron"), wrong)


def _wrong_pattern(pattern: str, where: tzinfo) -> str | None:
    if not pattern.startswith("@") and len(pattern.split()) not in {5, 6}:
        return f'expected 5 or 6 fields such as "15 3 * * *", got "{pattern}"'
    try:
        return None if Cron(pattern, where).after(0) is not None else f'"{pattern}" is never due'
    except InputError as error:
        return str(error)


def _near_zone(name: str) -> str | None:
    from zoneinfo import available_timezones

    near = nearest(name, available_timezones())
    return f"did you mean `{near}`?" if near else None
