"""The steps of a plan that are about schedules: they change Redis, no worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.reload.spelling import key_of, told
from jobd.daemon.views import Action, Mark, Step

if TYPE_CHECKING:
    from jobd.config.model import Config, Schedule


def plan_schedules(running: Config, wanted: Config) -> list[Step]:
    """Return what becomes of the schedules, in the order of the wanted file; unchanged ones have no line."""
    before, after = running.schedules, wanted.schedules
    steps = []
    for name, schedule in after.items():
        if name not in before:
            steps.append(Step(Mark.NEW, "", "new schedule", _when(schedule), Action.ADD, schedule=name))
        elif schedule.queue != before[name].queue:
            what = f"queue {before[name].queue} -> {schedule.queue}"
            steps.append(Step(Mark.CHANGED, "", what, "removed there, set here", Action.REPLACE, ("queue",), name))
        elif schedule != before[name]:
            steps.append(_changed(name, before[name], schedule))
    return steps + [
        Step(Mark.REMOVED, "", "schedule removed", "leaves Redis when no daemon lists it", Action.REMOVE, schedule=name)
        for name in before
        if name not in after
    ]


def _changed(name: str, before: Schedule, after: Schedule) -> Step:
    fields = [field for field in type(after).model_fields if getattr(before, field) != getattr(after, field)]
    keys = tuple(key_of(after, field) for field in fields)
    what = ", ".join(_difference(before, after, field) for field in fields)
    how = "set in Redis" if {"every", "offset"} & set(keys) else "set in Redis, its rhythm stays"
    return Step(Mark.CHANGED, "", what, how if after.cron is None else "set in Redis", Action.IN_PLACE, keys, name)


def _difference(before: Schedule, after: Schedule, field: str) -> str:
    if field == "data":
        return "data"
    return f"{key_of(after, field)} {told(field, getattr(before, field))} -> {told(field, getattr(after, field))}"


def _when(schedule: Schedule) -> str:
    if schedule.cron is None:
        return f"{schedule.queue}, every {told('every_ms', schedule.every_ms)}"
    return f'{schedule.queue}, at "{schedule.cron}" {schedule.timezone}'
