"""Many jobs at once: what `job retry`, `promote`, `cancel` and `remove` do in Redis, one page of jobs at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.admin import cancel_job, promote_job, remove_job, retry_job
from jobd.engine.bulk import Act, Tally, act_on_chosen, act_on_ids
from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.engine.reading import COUNTED
from jobd.engine.states import State
from jobd.errors import InputError, NotThere
from jobd.operations.documents_jobs import Bulk
from jobd.operations.documents_upkeep import Cancelled
from jobd.operations.operation import Place
from jobd.operations.params import Which
from jobd.operations.progress import Told
from jobd.operations.queues import facts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

RETRY = Act(retry_job)
PROMOTE = Act(promote_job)
REMOVE = Act(remove_job, good=frozenset({1}), remains=frozenset({0, Code.SCHEDULER_JOB}))
CANCELLABLE = (State.WAITING, State.PRIORITIZED, State.DELAYED, State.WAITING_CHILDREN, State.ACTIVE)


async def retry(place: Place, params: Which) -> Bulk:
    """Let finished jobs run again: those with the ids, or failed ones (or of the given state) that fit.

    Raises:
        NotThere: there is no such queue, or the only id is no job.
        InputError: a state that is not finished.
    """
    if params.selection().state not in (None, State.FAILED, State.COMPLETED):
        raise InputError(f'only failed and completed jobs can be retried, not "{params.selection().state}"')
    return report(await act_on(place, params, RETRY, (State.FAILED,)))


async def promote(place: Place, params: Which) -> Bulk:
    """Let delayed jobs run now: those with the ids, or those that fit.

    Raises:
        NotThere: as `job.retry`.
        InputError: a state other than delayed.
    """
    if params.selection().state not in (None, State.DELAYED):
        raise InputError(f'only delayed jobs can be promoted, not "{params.selection().state}"')
    return report(await act_on(place, params, PROMOTE, (State.DELAYED,)))


async def remove(place: Place, params: Which) -> Bulk:
    """Delete jobs and those below them in a flow; one that a worker runs stays and counts as gone.

    Raises:
        NotThere: as `job.retry`.
    """
    return report(await act_on(place, params, REMOVE, [state for state in COUNTED if state is not State.ACTIVE]))


async def cancel(place: Place, params: Which) -> Cancelled:
    """Let jobs run no more: those that wait have failed, those that run are stopped, on whatever host.

    None of them is retried. A running one is asked to end within a third of its queue's `lock_duration`, and its worker
    is killed when it has not within `kill_after`; a Node worker runs it to its end.

    Raises:
        NotThere: as `job.retry`.
        InputError: a state that is finished.
    """
    state = params.selection().state
    if state in (State.COMPLETED, State.FAILED):
        raise InputError(f'only jobs that have not ended can be cancelled, not "{state}"')
    command = partial(cancel_job, who=place.caller.who, now_ms=SYSTEM_CLOCK.now_ms())
    act = Act(command, good=frozenset({0, 1}), running=frozenset({1}), remains=frozenset({Code.SCHEDULER_JOB}))
    tally = await act_on(place, params, act, CANCELLABLE)
    if tally.running:
        place.look_for_cancelled(params.queue)
    return {**report(tally), "running": tally.running}


async def act_on(place: Place, params: Which, act: Act, states: Sequence[State]) -> Tally:
    """Do it to the jobs with the ids, else to those the selection takes in `states`, unless it names its own.

    Raises:
        NotThere: there is no such queue, or the only id is no job.
    """
    facts = await facts_of(place, params.queue)
    keys, tally, selection = Keys(place.prefix, params.queue), Tally(), params.selection()
    if params.ids:
        steps = act_on_ids(keys, act, params.ids, tally, dry_run=params.dry_run)
        total = len(params.ids)
    else:
        looked_at = selection.states() if selection.state else states
        total = sum(facts.counts[state] for state in looked_at)
        if selection.limit is not None and selection.takes_all:
            total = min(total, selection.limit)
        steps = act_on_chosen(keys, act, selection, states, tally, now_ms=SYSTEM_CLOCK.now_ms(), dry_run=params.dry_run)
    await place.runner.run_steps(steps, Told(place.caller, tally, total))
    if params.ids and tally.missing == len(set(params.ids)) == 1:
        raise NotThere("job", params.ids[0])
    return tally


def report(tally: Tally) -> Bulk:
    """Return the document of what was done."""
    return {"done": tally.done, "gone": tally.gone, "ids": tally.ids}
