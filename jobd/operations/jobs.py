"""Jobs in Redis, one or a listing: what `job add`, `list`, `show` and `logs` do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.client.producer import lost_add
from jobd.clock import SYSTEM_CLOCK
from jobd.engine.adding import add_job
from jobd.engine.keys import Keys
from jobd.engine.options import check_queue_name, new_job
from jobd.engine.reading import get_job
from jobd.engine.reading import job_logs as read_logs
from jobd.errors import NotThere, RedisUnavailable
from jobd.operations.documents import Job, JobAdded, JobList, JobLogs, JobShown
from jobd.operations.operation import Place
from jobd.operations.params import Add, Filters, OneJob
from jobd.operations.queues import facts_of
from jobd.operations.selection import pages

if TYPE_CHECKING:
    from jobd.engine.job import JobRecord

MAX_LISTED = 10_000
"""The most jobs one listing gives."""

LISTED_FIELD_MAX = 16 * 1024
"""Bytes of each payload (data, options, result, stack traces, progress) that a listing shows; `job show` has more."""


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


async def list_jobs(place: Place, params: Filters) -> JobList:
    """Tell the jobs of a queue that fit the filters.

    Raises:
        NotThere: as `queue.show`.
        InputError: no such state.
    """
    await facts_of(place, params.queue)
    wanted = params.selection()
    limit = min(100 if wanted.limit is None else wanted.limit, MAX_LISTED)
    found: list[Job] = []
    keys = Keys(place.prefix, params.queue)
    async for page in pages(place.runner, keys, wanted, newest_finished_first=True, field_max=LISTED_FIELD_MAX):
        found += [job_document(job) for job in page.jobs]
        if len(found) >= limit:
            break
    return {"jobs": found[:limit]}


async def show(place: Place, params: OneJob) -> JobShown:
    """Tell everything about one job.

    Raises:
        NotThere: there is no such queue or job.
    """
    job = await place.runner.run(get_job(Keys(place.prefix, params.queue), params.id, field_max=place.field_max))
    if job is None:
        await facts_of(place, params.queue)
        raise NotThere("job", params.id)
    return {"job": job_document(job)}


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
