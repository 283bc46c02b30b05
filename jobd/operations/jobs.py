"""Jobs in Redis, one or a listing: what `job add`, `list`, `show` and `logs` do there."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jobd.client import maintenance
from jobd.client.producer import lost_add
from jobd.clock import SYSTEM_CLOCK
from jobd.engine.adding import add_job
from jobd.engine.job_details import job_details
from jobd.engine.keys import Keys
from jobd.engine.options import check_priority, check_queue_name, new_job
from jobd.engine.outcome import End, job_outcome, past_events, result_of
from jobd.engine.reading import get_job, get_state
from jobd.engine.reading import job_logs as read_logs
from jobd.engine.selection import PAGE, walk
from jobd.errors import NotThere, RedisUnavailable
from jobd.operations.documents.jobs import Changed, Job, JobAdded, JobList, JobLogs, JobShown, JobWaited
from jobd.operations.listing import page_of
from jobd.operations.operation import Place
from jobd.operations.params.jobs import Add, Change, Listing, OneJob, WaitFor
from jobd.operations.queues import facts_of

if TYPE_CHECKING:
    from jobd.engine.job import JobRecord
    from jobd.engine.outcome import Ending
    from jobd.engine.runner import Steps
    from jobd.engine.states import State

MAX_LISTED = 10_000
"""The most jobs one listing gives."""

LISTED_FIELD_MAX = 16 * 1024
"""Bytes of each payload (data, options, result, stack traces, progress) that a listing shows; `job show` has more."""

LISTED_MAX = 8 * 1024 * 1024
"""Bytes of all payloads of a listing: what comes after them is shown without."""

WAIT_MAX_MS = 25_000
"""The longest one `job.wait` lasts: whoever waits longer asks again, and one who is gone is not waited for."""

_LOOK_S = (0.02, 0.5)
"""The first and the longest pause between two looks at a job that somebody waits for."""


async def add(place: Place, params: Add) -> JobAdded:
    """Add a job. The queue need not exist yet.

    Raises:
        InputError: something is wrong with it; nothing was written.
        RedisUnavailable: no answer; whether it was added is unknown.
    """
    keys = Keys(place.prefix, check_queue_name(params.queue))
    job = new_job(params.name, params.data, params.options, now_ms=SYSTEM_CLOCK.now_ms())
    try:
        added = await place.runner.run(add_job(keys, job))
    except RedisUnavailable as error:
        raise lost_add(error) from error
    return {
        "job": {
            "id": added.job_id,
            "queue": params.queue,
            "name": params.name,
            "duplicate": added.duplicate,
            "deduplicated": added.deduplicated,
            "event_id": added.event_id,
        }
    }


async def change(place: Place, params: Change) -> Changed:
    """Change when a delayed job is due, a job's priority or its data, wherever the job is.

    Raises:
        NotThere: there is no such queue or job.
        Refused: `delay_ms` for a job that is not delayed; nothing was changed.
        InputError: nothing to change, or not possible; nothing was changed.
    """
    given = params.given()
    await facts_of(place, params.queue)
    keys, steps = Keys(place.prefix, params.queue), []
    # What can be refused comes first: then nothing is done by halves.
    if params.priority is not None:
        check_priority(params.priority)
    if params.delay_ms is not None:
        steps.append(maintenance.change_job_delay(keys, params.id, params.delay_ms / 1000))
    if params.priority is not None:
        steps.append(maintenance.change_job_priority(keys, params.id, params.priority, lifo=params.lifo))
    if params.data is not None:
        steps.append(maintenance.update_job_data(keys, params.id, params.data))
    for one in steps:
        await place.runner.run_steps(one)
    return {"id": params.id, "changed": [word.removesuffix("_ms") for word in given]}


async def list_jobs(place: Place, params: Listing) -> JobList:
    """Tell the jobs of a queue that fit the filters: from the `offset`th on, or a page `after` another.

    Raises:
        NotThere: as `queue.show`.
        InputError: no such state, or `after` is no page's.
    """
    facts = await facts_of(place, params.queue)
    wanted = params.selection()
    if params.after is not None:
        one = await page_of(place, params.queue, wanted, after=params.after, counts=facts.counts)
        listed = [job_document(job) for job in one.jobs]
        return {"jobs": listed, "more": one.next is not None, "next": one.next, "looked": one.looked}
    limit = min(100 if wanted.limit is None else wanted.limit, MAX_LISTED)
    found: list[Job] = []
    passed, size = 0, 0

    def visit(jobs: list[JobRecord], _: int) -> Steps[int | None]:
        nonlocal passed, size
        for job in jobs:
            passed += 1
            if passed > params.offset and len(found) < limit:
                found.append(job_document(job))
                size += job.size
        yield from ()
        return None if passed > params.offset + limit else 0

    def field_max() -> int:
        return LISTED_FIELD_MAX if passed + PAGE > params.offset and size < LISTED_MAX else 0

    keys, now_ms = Keys(place.prefix, params.queue), SYSTEM_CLOCK.now_ms()
    await place.runner.run_steps(
        walk(keys, wanted, visit, now_ms=now_ms, newest_finished_first=True, field_max=field_max)
    )
    return {"jobs": found, "more": passed > params.offset + limit}


async def show(place: Place, params: OneJob) -> JobShown:
    """Tell everything about one job.

    Raises:
        NotThere: there is no such queue or job.
    """
    job = await place.runner.run(get_job(Keys(place.prefix, params.queue), params.id, field_max=place.field_max))
    if job is None:
        await facts_of(place, params.queue)
        raise NotThere("job", params.id)
    beside = await place.runner.run_steps(job_details(Keys(place.prefix, params.queue), params.id))
    document = job_document(job)
    document["due_at"], document["lock_ms"], document["log_lines"] = beside.due_at, beside.lock_ms, beside.log_lines
    document["deferred_failure"], document["handed_back"] = job.deferred_failure, beside.handed_back
    document["children"] = {
        "pending": beside.pending,
        "pending_count": beside.pending_count,
        "completed_count": beside.completed_count,
        "failed": beside.failed,
        "failed_count": beside.failed_count,
    }
    return {"job": document}


async def wait(place: Place, params: WaitFor) -> JobWaited:
    """Tell how a job ended, as soon as it has.

    Raises:
        NotThere: there is no such queue or job, or it was removed before its end was seen.
    """
    keys, job_id = Keys(place.prefix, params.queue), params.id
    limit_ms = WAIT_MAX_MS if params.timeout_ms is None else min(params.timeout_ms, WAIT_MAX_MS)
    end, (pause, longest), seen = time.monotonic() + limit_ms / 1000, _LOOK_S, params.event_id
    while True:
        ending = await place.runner.run(job_outcome(keys, job_id))
        if ending.end is End.MISSING:
            ending = await _past_ending(place, keys, job_id, seen) or ending
        if ending.end in (End.COMPLETED, End.FAILED):
            return _waited(ending, seen or "", place.field_max)
        if ending.end is not End.PENDING:
            await facts_of(place, params.queue)
            raise NotThere("job", job_id, f'no such job, or it was removed: "{job_id}"')
        seen = seen or ending.value
        left = end - time.monotonic()
        if left <= 0:
            state = await place.runner.run(get_state(keys, job_id))
            return _pending(state, seen)
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, longest)


async def _past_ending(place: Place, keys: Keys, job_id: str, after: str | None) -> Ending | None:
    """How a job that is gone ended, by the events since it was seen."""
    while after is not None:
        page = await place.runner.run(past_events(keys, after))
        if job_id in page.endings:
            return page.endings[job_id]
        after = page.last_id if page.full else None
    return None


def _pending(state: State, event_id: str) -> JobWaited:
    return {
        "ended": False,
        "state": state.value,
        "result": None,
        "failed_reason": None,
        "event_id": event_id,
        "cut": {},
    }


def _waited(ending: Ending, event_id: str, most: int | None) -> JobWaited:
    completed, size = ending.end is End.COMPLETED, len(ending.value)
    fits = most is None or size <= most
    return {
        "ended": True,
        "state": ending.end.value,
        "result": result_of(ending.value) if completed and fits else None,
        "failed_reason": None if completed else ending.value[:most],
        "event_id": event_id,
        "cut": {} if fits or not completed else {"result": size},
    }


async def logs(place: Place, params: OneJob) -> JobLogs:
    """Tell what a job logged.

    Raises:
        NotThere: as `job.show`.
    """
    await show(place, params)
    keys = Keys(place.prefix, params.queue)
    return {"lines": await place.runner.run(read_logs(keys, params.id, -1000, -1))}


def job_document(job: JobRecord) -> Job:
    """Return a job as JSON shows it."""
    return {
        "id": job.id,
        "name": job.name,
        "queue": job.queue,
        "state": job.state.value,
        "data": job.data,
        "opts": job.opts,
        "attempts_made": job.attempts_made,
        "attempts_started": job.attempts_started,
        "crashes": job.crashes,
        "priority": job.priority,
        "delay_ms": job.delay_ms,
        "timestamp": job.timestamp,
        "processed_at": job.processed_at,
        "finished_at": job.finished_at,
        "result": job.result,
        "failed_reason": job.failed_reason,
        "stacktrace": job.stacktrace,
        "progress": job.progress,
        "worker": job.worker,
        "parent_key": job.parent_key,
        "broken": job.broken,
        "cut": job.cut,
    }
