"""Many jobs at once: what `job retry`, `promote`, `cancel` and `remove` do in Redis, one page of jobs at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.bulk import PROMOTE, REMOVE, RETRY, Tally, act_on_chosen, act_on_ids, cancelling
from jobd.engine.keys import Keys
from jobd.errors import NotThere
from jobd.operations.documents.jobs import Bulk, Cancelled
from jobd.operations.operation import Place
from jobd.operations.params.jobs import Which
from jobd.operations.progress import Told
from jobd.operations.queues import facts_of

if TYPE_CHECKING:
    from jobd.engine.bulk import Act


async def retry(place: Place, params: Which) -> Bulk:
    """Let finished jobs run again: those with the ids, or failed ones (or of the given state) that fit.

    Raises:
        NotThere: there is no such queue, or the only id is no job.
        InputError: a state that is not finished.
    """
    return report(await act_on(place, params, RETRY))


async def promote(place: Place, params: Which) -> Bulk:
    """Let delayed jobs run now: those with the ids, or those that fit.

    Raises:
        NotThere: as `job.retry`.
        InputError: a state other than delayed.
    """
    return report(await act_on(place, params, PROMOTE))


async def remove(place: Place, params: Which) -> Bulk:
    """Delete jobs and those below them in a flow; one that a worker runs stays and counts as gone.

    Raises:
        NotThere: as `job.retry`.
    """
    return report(await act_on(place, params, REMOVE))


async def cancel(place: Place, params: Which) -> Cancelled:
    """Let jobs run no more: those that wait have failed, those that run are stopped, on whatever host.

    None of them is retried. A running one is asked to end within a third of its queue's `lock_duration`, and its worker
    is killed when it has not within `kill_after`; a Node worker runs it to its end.

    Raises:
        NotThere: as `job.retry`.
        InputError: a state that is finished.
    """
    tally = await act_on(place, params, cancelling(place.caller.who, SYSTEM_CLOCK.now_ms()))
    if tally.running:
        place.look_for_cancelled(params.queue)
    return {**report(tally), "running": tally.running}


async def act_on(place: Place, params: Which, act: Act) -> Tally:
    """Do it to the jobs with the ids, else to those that the selection takes.

    Raises:
        NotThere: there is no such queue, or the only id is no job.
        InputError: it cannot be done to jobs of the selection's state.
    """
    tally, selection = Tally(), params.selection()
    act.check(selection)
    facts = await facts_of(place, params.queue)
    keys = Keys(place.prefix, params.queue)
    if params.ids:
        steps = act_on_ids(keys, act, params.ids, tally, dry_run=params.dry_run)
        total = len(params.ids)
    else:
        total = sum(facts.counts[state] for state in act.states_of(selection))
        if selection.limit is not None and selection.takes_all:
            total = min(total, selection.limit)
        steps = act_on_chosen(keys, act, selection, tally, now_ms=SYSTEM_CLOCK.now_ms(), dry_run=params.dry_run)
    await place.runner.run_steps(steps, Told(place.caller, tally, total))
    if params.ids and tally.missing == len(set(params.ids)) == 1:
        raise NotThere("job", params.ids[0])
    return tally


def report(tally: Tally) -> Bulk:
    """Return the document of what was done."""
    return {"done": tally.done, "gone": tally.gone, "ids": tally.ids}
