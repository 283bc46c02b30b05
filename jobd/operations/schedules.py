"""Schedules in Redis, whoever made them: what the operations `schedule …` do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.adding import add_job
from jobd.engine.javascript import whole
from jobd.engine.keys import Keys
from jobd.engine.new_job import NewJob
from jobd.engine.options import check_queue_name
from jobd.engine.schedulers import (
    Scheduler,
    list_schedulers,
    pause_scheduler,
    policies_of,
    upcoming,
    upsert_scheduler,
)
from jobd.errors import InputError, NotThere, Refused
from jobd.operations.documents.schedules import ScheduledJob, ScheduleList, ScheduleNext, ScheduleRow, ScheduleShown
from jobd.operations.operation import Place
from jobd.operations.params.schedules import MaybeQueue, NextOf, OneSchedule
from jobd.operations.queues import queue_names

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = 250
"""Queues asked about in one round trip."""


async def list_schedules(place: Place, params: MaybeQueue) -> ScheduleList:
    """Tell the schedules of a queue, or of every queue under the prefix; the one that is due next first.

    Without a queue it looks at every key of the Redis, 1,000 at a time.
    """
    names = await _queues(place, params.queue)
    rows = [schedule_row(queue, found) for queue, found in await _found(place, names)]
    return {"schedules": sorted(rows, key=lambda row: (row["next_at"] is None, row["next_at"] or 0, row["name"]))}


async def run(place: Place, params: OneSchedule) -> ScheduledJob:
    """Add a job as the schedule would, now; the schedule itself goes on as ever.

    Raises:
        NotThere: no queue has a schedule of that name; `known` has those there are.
        Refused: several queues have one; name the queue too.
    """
    queue, found = await _one(place, params)
    template, now_ms = found.template, SYSTEM_CLOCK.now_ms()
    opts = {"attempts": 0, **template.options()}
    job = NewJob(template.name, template.data.encode() or b"{}", opts, now_ms)
    job.priority, job.lifo = whole(opts.get("priority")) or 0, opts.get("lifo") is True
    added = await place.runner.run(add_job(Keys(place.prefix, queue), job))
    return {"queue": queue, "schedule": found.id, "id": added.job_id, "name": template.name}


async def pause(place: Place, params: OneSchedule) -> ScheduleShown:
    """Let a schedule make no more jobs until it is resumed; a job that waits or runs goes on. Survives restarts.

    Raises:
        NotThere, Refused: as `schedule.run`.
    """
    queue, found = await _one(place, params)
    command = pause_scheduler(Keys(place.prefix, queue), found.id, who=place.caller.who, now_ms=SYSTEM_CLOCK.now_ms())
    await place.runner.run(command)
    return await _shown(place, queue, found)


async def resume(place: Place, params: OneSchedule) -> ScheduleShown:
    """Undo `schedule.pause`: an interval goes on in its rhythm; what was due meanwhile is left out.

    Raises:
        NotThere, Refused: as `schedule.run`; its pattern or its time zone cannot be read here.
    """
    queue, found = await _one(place, params)
    if found.paused is not None:
        keys, now_ms = Keys(place.prefix, queue), SYSTEM_CLOCK.now_ms()
        try:
            command = upsert_scheduler(keys, found.id, found.repeat, found.template, now_ms=now_ms, resumed=found)
        except InputError as error:
            raise _unreadable(found, error) from error
        if command is None:
            raise Refused("schedule-ended", f'cannot resume "{found.id}": it would never be due')
        await place.runner.run(command)
    return await _shown(place, queue, found)


async def next_runs(place: Place, params: NextOf) -> ScheduleNext:
    """Tell when a schedule is due next; none when it is paused.

    Raises:
        NotThere, Refused: as `schedule.run`; its pattern or its time zone cannot be read here.
    """
    queue, found = await _one(place, params)
    try:
        times = [] if found.paused is not None else upcoming(found, params.count, now_ms=SYSTEM_CLOCK.now_ms())
    except InputError as error:
        raise _unreadable(found, error) from error
    return {"schedule": schedule_row(queue, found), "next": times}


def _unreadable(found: Scheduler, error: InputError) -> Refused:
    # It lies in Redis like that: whoever asks has typed nothing wrong.
    return Refused("schedule-unreadable", f'cannot tell when schedule "{found.id}" is due: {error}')


async def _queues(place: Place, queue: str | None) -> list[str]:
    return await queue_names(place.runner, place.prefix) if queue is None else [check_queue_name(queue)]


async def _one(place: Place, params: OneSchedule) -> tuple[str, Scheduler]:
    names = await _queues(place, params.queue)
    found = await _found(place, names, params.name)
    if len(found) == 1:
        return found[0]
    if found:
        queues = ", ".join(queue for queue, _ in found)
        raise Refused("schedule-ambiguous", f'several queues have a schedule "{params.name}": {queues}; add --queue')
    raise NotThere("schedule", params.name, known=sorted({one.id for _, one in await _found(place, names)}))


async def _found(place: Place, queues: Sequence[str], name: str = "") -> list[tuple[str, Scheduler]]:
    found: list[tuple[str, Scheduler]] = []
    for start in range(0, len(queues), _PAGE):
        page = queues[start : start + _PAGE]
        commands = [list_schedulers(Keys(place.prefix, queue), name) for queue in page]
        for queue, schedulers in zip(page, await place.runner.run_many(commands), strict=True):
            found += [(queue, one) for one in schedulers]
    return found


async def _shown(place: Place, queue: str, before: Scheduler) -> ScheduleShown:
    now = await place.runner.run(list_schedulers(Keys(place.prefix, queue), before.id))
    return {"schedule": schedule_row(queue, now[0] if now else before)}


def schedule_row(queue: str, found: Scheduler) -> ScheduleRow:
    """Return a schedule as Redis knows it."""
    repeat, note, now_ms = found.repeat, found.note, SYSTEM_CLOCK.now_ms()
    policies, paused = policies_of(note), found.paused or {}
    ended = found.has_ended(now_ms)
    return {
        "name": found.id,
        "queue": queue,
        "job": found.template.name,
        "state": "paused" if found.paused is not None else "ended" if ended else "running",
        "cron": repeat.pattern,
        "timezone": repeat.timezone,
        "every_ms": repeat.every_ms,
        "next_at": None if found.paused is not None or ended else found.next_at,
        "last_at": found.last_run,
        "runs": found.iterations if ended else max(0, found.iterations - 1),
        "iterations": found.iterations,
        "missed": found.missed,
        "limit": repeat.limit,
        "start_at": repeat.start_at,
        "end_at": repeat.end_at,
        "overlap": policies.overlap,
        "catch_up": policies.catch_up,
        "jitter_ms": policies.jitter_ms,
        "app": note.get("app"),
        "place": note.get("place"),
        "paused_by": paused.get("by"),
        "paused_at": paused.get("at"),
    }
