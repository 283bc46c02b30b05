"""What the commands `queue …` and `job …` do, for the daemon's control server and for the CLI without a daemon.

Each takes a runner and the prefix, and returns plain values that go into JSON as they are; the field names are those of
`--json`. Nothing holds more than one page of jobs in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.client.producer import lost_add
from jobd.clock import SYSTEM_CLOCK
from jobd.engine.adding import add_job
from jobd.engine.admin import pause_queue, remove_job, resume_queue, retry_job
from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.engine.options import check_queue_name, is_own_key, new_job
from jobd.engine.reading import COUNTED, find_queues, get_job, get_state, queue_facts
from jobd.engine.reading import job_logs as read_logs
from jobd.engine.states import State
from jobd.errors import InputError, NotThere, RedisUnavailable
from jobd.operations.selection import PAGE, Selection, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobd.engine.job import JobRecord
    from jobd.engine.reading import QueueFacts
    from jobd.engine.runner import AsyncRunner, Command

MAX_TOLD_IDS = 1000
"""A report names this many ids; the counts are of all."""

MAX_LISTED = 10_000
"""The most jobs one listing gives."""


async def queue_names(runner: AsyncRunner, prefix: str) -> list[str]:
    """Return the names of all queues under the prefix, sorted. Looks at every key of the Redis, 1,000 at a time."""
    names: set[str] = set()
    cursor = 0
    while True:
        cursor, found = await runner.run(find_queues(prefix, cursor))
        names.update(found)
        if cursor == 0:
            return sorted(names)


async def queue_list(runner: AsyncRunner, prefix: str) -> list[dict[str, Any]]:
    """Return a row (see queue_show) for each queue under the prefix, by name."""
    names = await queue_names(runner, prefix)
    rows = []
    for start in range(0, len(names), PAGE):
        page = names[start : start + PAGE]
        facts = await runner.run_many([queue_facts(Keys(prefix, name)) for name in page])
        rows += [queue_row(name, fact) for name, fact in zip(page, facts, strict=True)]
    return rows


async def queue_show(runner: AsyncRunner, prefix: str, queue: str) -> dict[str, Any]:
    """Return counts, pause and limits of one queue.

    Raises:
        NotThere: no such queue; `known` has those there are.
    """
    return queue_row(queue, await _facts(runner, prefix, queue))


async def queue_pause(
    runner: AsyncRunner, prefix: str, queue: str, *, who: str, reason: str | None = None
) -> dict[str, Any]:
    """Pause a queue for every worker everywhere, and keep who did it and why.

    Returns `{"queue", "state": "paused", "changed"}`. Raises NotThere as queue_show.
    """
    await _facts(runner, prefix, queue)
    now_ms = SYSTEM_CLOCK.now_ms()
    changed = await runner.run(pause_queue(Keys(prefix, queue), who=who, why=reason, now_ms=now_ms))
    return {"queue": queue, "state": "paused", "changed": changed}


async def queue_resume(runner: AsyncRunner, prefix: str, queue: str) -> dict[str, Any]:
    """Let workers take jobs of a queue again. Returns `{"queue", "state": "running", "changed"}`."""
    await _facts(runner, prefix, queue)
    changed = False
    left = 1
    while left:
        was_paused, left = await runner.run(resume_queue(Keys(prefix, queue)))
        changed = changed or was_paused
    return {"queue": queue, "state": "running", "changed": changed}


async def job_add(
    runner: AsyncRunner, prefix: str, queue: str, *, name: str, data: Any, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Add a job; `options` as engine.options.AddOptions. The queue need not exist yet.

    Returns `{"id", "queue", "name", "duplicate", "deduplicated", "event_id"}`; a waiter reads events from event_id on.

    Raises:
        InputError: something is wrong with it; nothing was written.
        RedisUnavailable: no answer; whether it was added is unknown.
    """
    keys = Keys(prefix, check_queue_name(queue))
    job = new_job(name, data, options, now_ms=SYSTEM_CLOCK.now_ms())
    try:
        added = await runner.run(add_job(keys, job))
    except RedisUnavailable as error:
        raise lost_add(error) from error
    return {
        "id": added.job_id,
        "queue": queue,
        "name": name,
        "duplicate": added.duplicate,
        "deduplicated": added.deduplicated,
        "event_id": added.event_id,
    }


async def job_list(
    runner: AsyncRunner, prefix: str, queue: str, selection: Selection | None = None
) -> list[dict[str, Any]]:
    """Return the jobs of a queue that the selection takes, state by state, next to run first, newest finished first."""
    await _facts(runner, prefix, queue)
    wanted = selection or Selection()
    limit = min(100 if wanted.limit is None else wanted.limit, MAX_LISTED)
    found: list[dict[str, Any]] = []
    async for page in pages(runner, Keys(prefix, queue), wanted, newest_finished_first=True):
        found += [job_row(job) for job in page.jobs]
        if len(found) >= limit:
            break
    return found[:limit]


async def job_show(runner: AsyncRunner, prefix: str, queue: str, job_id: str) -> dict[str, Any]:
    """Return one job. Raises NotThere for the queue or the job."""
    job = await runner.run(get_job(Keys(prefix, queue), job_id))
    if job is None:
        await _facts(runner, prefix, queue)
        raise NotThere("job", job_id)
    return job_row(job)


async def job_logs(runner: AsyncRunner, prefix: str, queue: str, job_id: str) -> list[str]:
    """Return the newest 1,000 log lines of a job, oldest first. Raises NotThere for the queue or the job."""
    await job_show(runner, prefix, queue, job_id)
    return await runner.run(read_logs(Keys(prefix, queue), job_id, -1000, -1))


async def job_retry(
    runner: AsyncRunner,
    prefix: str,
    queue: str,
    *,
    ids: Sequence[str] = (),
    selection: Selection | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Let finished jobs run again: those with the ids, or failed ones (or of the selection's state) that match.

    Returns `{"done", "gone", "ids"}`, with dry_run what would be done. Gone are those that had left before their turn
    came; ids are at most MAX_TOLD_IDS.

    Raises:
        NotThere: no such queue, or the only id is no job.
        InputError: neither ids nor a selection, or a state that is not finished.
    """
    if selection and selection.state not in (None, State.FAILED, State.COMPLETED):
        raise InputError(f'only failed and completed jobs can be retried, not "{selection.state}"')
    keys = await _known(runner, prefix, queue)
    bulk = _Bulk(runner, keys, retry_job, Code.OK, dry_run)
    return await bulk.run(ids, selection, (State.FAILED,))


async def job_remove(
    runner: AsyncRunner,
    prefix: str,
    queue: str,
    *,
    ids: Sequence[str] = (),
    selection: Selection | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Remove jobs: those with the ids, or those of the selection; a job that a worker runs stays and counts as gone.

    Returns and raises as job_retry.
    """
    keys = await _known(runner, prefix, queue)
    bulk = _Bulk(runner, keys, remove_job, 1, dry_run)
    return await bulk.run(ids, selection, [state for state in COUNTED if state is not State.ACTIVE])


class _Bulk:
    """One act on many jobs, and the count of what came of it. `good` is the code of a job on which it took effect."""

    def __init__(
        self, runner: AsyncRunner, keys: Keys, act: Callable[[Keys, str], Command[int]], good: int, dry_run: bool
    ) -> None:
        self._runner = runner
        self._keys = keys
        self._act = act
        self._good = good
        self._dry_run = dry_run
        self._done = 0
        self._gone = 0
        self._missing = 0
        self._ids: list[str] = []

    async def run(self, ids: Sequence[str], selection: Selection | None, states: Sequence[State]) -> dict[str, Any]:
        """Act on the ids, else on what the selection takes in `states`, unless it names its own; return the report."""
        if ids:
            await self._run_ids(ids)
        elif selection is not None:
            await self._run_selection(selection, selection.states() if selection.state else states)
        else:
            raise InputError("name the jobs: ids, a filter, or all")
        return {"done": self._done, "gone": self._gone, "ids": self._ids}

    async def _run_ids(self, ids: Sequence[str]) -> None:
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), PAGE):
            part = unique[start : start + PAGE]
            if self._dry_run:
                states = await self._runner.run_many([get_state(self._keys, job_id) for job_id in part])
                part = [job_id for job_id, state in zip(part, states, strict=True) if state is not State.UNKNOWN]
                self._lost(len(states) - len(part))
            jobs = [job_id for job_id in part if not is_own_key(job_id)]
            self._lost(len(part) - len(jobs))
            await self._act_on(jobs)
        if self._missing == len(unique) == 1:
            raise NotThere("job", unique[0])

    async def _run_selection(self, selection: Selection, states: Sequence[State]) -> None:
        left = selection.limit
        async for page in pages(self._runner, self._keys, selection, states=states):
            part = [job.id for job in page.jobs][:left]
            page.removed = await self._act_on(part)
            if left is not None:
                left -= len(part)
                if left <= 0:
                    return

    def _lost(self, count: int) -> None:
        self._gone += count
        self._missing += count

    async def _act_on(self, ids: Sequence[str]) -> int:
        """Act on one page in one round trip; returns how many left their state."""
        if self._dry_run:
            codes = [self._good] * len(ids)
        else:
            codes = await self._runner.run_many([self._act(self._keys, job_id) for job_id in ids])
        took = [job_id for job_id, code in zip(ids, codes, strict=True) if code == self._good]
        self._done += len(took)
        self._gone += len(ids) - len(took)
        self._missing += codes.count(Code.MISSING_JOB)
        self._ids += took[: MAX_TOLD_IDS - len(self._ids)]
        return 0 if self._dry_run else len(took)


def queue_row(name: str, facts: QueueFacts) -> dict[str, Any]:
    """Return a queue as JSON shows it; times are seconds (oldest_waiting_s) or ms since 1970 (paused_at)."""
    oldest = facts.oldest_waiting_at
    return {
        "name": name,
        "state": "paused" if facts.paused else "running",
        "why": _why(facts),
        **{state.replace("-", "_"): count for state, count in facts.counts.items()},
        "oldest_waiting_s": None if oldest is None else max(0, SYSTEM_CLOCK.now_ms() - oldest) / 1000,
        "paused_by": facts.paused_by,
        "paused_at": facts.paused_at,
        "paused_why": facts.paused_why or None,
        "global_concurrency": facts.concurrency,
        "rate_limit": {"max": facts.max, "duration_ms": facts.duration_ms} if facts.max else None,
    }


def _why(facts: QueueFacts) -> str | None:
    """Why no job is taken right now, as far as Redis knows."""
    if facts.paused:
        return "paused"
    if facts.limited_ms:
        return "rate_limited"
    counts = facts.counts
    if facts.concurrency is not None and counts[State.ACTIVE] >= facts.concurrency:
        return "maxed"
    if not counts[State.WAITING] and not counts[State.PRIORITIZED] and counts[State.DELAYED]:
        return "nothing_due"
    return None


def job_row(job: JobRecord) -> dict[str, Any]:
    """Return a job as JSON shows it. `broken` names the fields whose text in Redis is not what it should be."""
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
    }


async def _known(runner: AsyncRunner, prefix: str, queue: str) -> Keys:
    await _facts(runner, prefix, queue)
    return Keys(prefix, queue)


async def _facts(runner: AsyncRunner, prefix: str, queue: str) -> QueueFacts:
    check_queue_name(queue)
    facts = await runner.run(queue_facts(Keys(prefix, queue)))
    if not facts.exists:
        raise NotThere("queue", queue, known=await queue_names(runner, prefix))
    return facts
