"""Rules of a schedule: which queue, when, in which timezone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.model import Queue, Schedule
    from jobd.config.positions import Path_
    from jobd.config.tree import Tree

_FIELD = re.compile(r"[0-9A-Za-z*/,\-?#]+", re.ASCII)
_SHORT = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"})


def check_schedule(tree: Tree, schedule: Schedule, path: Path_, queues: Mapping[str, Queue]) -> None:
    """Note what is wrong with one schedule."""
    if schedule.queue not in queues and not tree.is_broken(("queues", schedule.queue)):
        near = nearest(schedule.queue, queues)
        hint = f"did you mean `{near}`?" if near else None
        tree.refuse((*path, "queue"), f"there is no queue `{schedule.queue}` in [queues]", hint)
    whens = [key for key in ("cron", "every") if tree.origins.written((*path, key))]
    if len(whens) != 1:
        tree.refuse((*path, whens[1]) if whens else path, "a schedule has one of `cron` and `every`", at="key")
    if schedule.cron is not None and not _is_cron(schedule.cron):
        message = f'expected 5 or 6 fields such as "15 3 * * *", got "{schedule.cron}"'
        tree.refuse((*path, "cron"), message)
    if not _is_timezone(schedule.timezone):
        message = f'expected a timezone such as "Europe/Athens", got "{schedule.timezone}"'
        tree.refuse((*path, "timezone"), message)


def _is_cron(text: str) -> bool:
    fields = text.split()
    return text in _SHORT or (len(fields) in {5, 6} and all(_FIELD.fullmatch(field) for field in fields))


def _is_timezone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    if name == "UTC":
        return True  # known without the system's tz database
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return False
    return True
