"""Many jobs at once: what `job retry`, `promote` and `remove` do in Redis. Holds one page of jobs at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine.admin import promote_job, remove_job, retry_job
from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.engine.options import is_own_key
from jobd.engine.reading import COUNTED, get_state
from jobd.engine.states import State
from jobd.errors import InputError, NotThere
from jobd.operations.documents import Bulk
from jobd.operations.operation import Place
from jobd.operations.params import Which
from jobd.operations.queues import facts_of
from jobd.operations.selection import PAGE, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobd.engine.runner import Command
    from jobd.operations.selection import Selection

MAX_TOLD_IDS = 1000
"""A report names this many ids; the counts are of all."""


async def retry(place: Place, params: Which) -> Bulk:
    """Let finished jobs run again: those with the ids, or failed ones (or of the given state) that fit.

    Raises:
        NotThere: there is no such queue, or the only id is no job.
        InputError: a state that is not finished.
    """
    if params.selection().state not in (None, State.FAILED, State.COMPLETED):
        raise InputError(f'only failed and completed jobs can be retried, not "{params.state}"')
    return await _Walk(place, params, retry_job, Code.OK).run((State.FAILED,))


async def promote(place: Place, params: Which) -> Bulk:
    """Let delayed jobs run now: those with the ids, or those that fit.

    Raises:
        NotThere: as `job.retry`.
        InputError: a state other than delayed.
    """
    if params.selection().state not in (None, State.DELAYED):
        raise InputError(f'only delayed jobs can be promoted, not "{params.state}"')
    return await _Walk(place, params, promote_job, Code.OK).run((State.DELAYED,))


async def remove(place: Place, params: Which) -> Bulk:
    """Delete jobs; one that a worker runs stays and counts as gone.

    Raises:
        NotThere: as `job.retry`.
    """
    return await _Walk(place, params, remove_job, 1).run([state for state in COUNTED if state is not State.ACTIVE])


class _Walk:
    """One act on many jobs, and the count of what came of it. `good` is the code of a job on which it took effect."""

    def __init__(self, place: Place, params: Which, act: Callable[[Keys, str], Command[int]], good: int) -> None:
        self._place = place
        self._params = params
        self._runner = place.runner
        self._keys = Keys(place.prefix, params.queue)
        self._act = act
        self._good = good
        self._done = 0
        self._gone = 0
        self._missing = 0
        self._ids: list[str] = []

    async def run(self, states: Sequence[State]) -> Bulk:
        """Act on the ids, else on what the selection takes in `states`, unless it names its own; return the report."""
        await facts_of(self._place, self._params.queue)
        selection = self._params.selection()
        if self._params.ids:
            await self._run_ids(self._params.ids)
        else:
            await self._run_selection(selection, selection.states() if selection.state else states)
        return {"done": self._done, "gone": self._gone, "ids": self._ids}

    async def _run_ids(self, ids: Sequence[str]) -> None:
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), PAGE):
            part = unique[start : start + PAGE]
            if self._params.dry_run:
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
        if self._params.dry_run:
            codes = [self._good] * len(ids)
        else:
            codes = await self._runner.run_many([self._act(self._keys, job_id) for job_id in ids])
        took = [job_id for job_id, code in zip(ids, codes, strict=True) if code == self._good]
        self._done += len(took)
        self._gone += len(ids) - len(took)
        self._missing += codes.count(Code.MISSING_JOB)
        self._ids += took[: MAX_TOLD_IDS - len(self._ids)]
        return 0 if self._params.dry_run else len(took)
