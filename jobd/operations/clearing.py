"""Deleting in bulk: what `queue empty`, `clean`, `remove-orphans` and `obliterate` do in Redis, a slice at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.bulk import Tally
from jobd.engine.clearing import CLEANABLE, cleaning, closing, emptying, obliterating, refuse_active
from jobd.engine.job_changes import removing_orphans
from jobd.engine.keys import Keys
from jobd.engine.reading import queue_facts
from jobd.engine.selection import Selection, walk
from jobd.engine.states import State
from jobd.errors import InputError, NotThere
from jobd.operations.documents.queues import Cleared, OrphansRemoved
from jobd.operations.operation import Place
from jobd.operations.params.queues import Clean, Empty, Obliterate, Orphans
from jobd.operations.progress import Told
from jobd.operations.queues import facts_of

if TYPE_CHECKING:
    from jobd.engine.job import JobRecord
    from jobd.engine.runner import Steps


async def empty(place: Place, params: Empty) -> Cleared:
    """Delete the jobs that wait to run, with `delayed` also those that are due later; BullMQ calls that drain.

    What runs, what is finished, parents that wait for their children and the next jobs of schedulers stay.

    Raises:
        NotThere: there is no such queue.
    """
    before = (await facts_of(place, params.queue)).counts
    states = [State.WAITING, State.PRIORITIZED, *([State.DELAYED] if params.delayed else [])]
    total, tally = sum(before[state] for state in states), Tally(keep=0)
    if params.dry_run:
        return _cleared(total, before, before)
    keys = Keys(place.prefix, params.queue)
    steps = emptying(keys, before, tally, delayed=params.delayed)
    await place.runner.run_steps(steps, Told(place.caller, tally, total))
    return _cleared(tally.done, before, (await place.runner.run(queue_facts(keys))).counts)


async def clean(place: Place, params: Clean) -> Cleared:
    """Delete the oldest jobs of one state that finished (else started, else were added) long enough ago.

    As BullMQ's clean: locked jobs and the next jobs of schedulers stay, each slice is one event `cleaned`.

    Raises:
        NotThere: there is no such queue.
        InputError: a state whose jobs cannot be cleaned.
    """
    if params.state not in CLEANABLE:
        raise InputError(f'no state to clean: "{params.state}"; it is one of {", ".join(CLEANABLE)}')
    state, keys, tally = State(params.state), Keys(place.prefix, params.queue), Tally(keep=0)
    before = (await facts_of(place, params.queue)).counts
    now_ms, older_ms = SYSTEM_CLOCK.now_ms(), params.older_ms or 0
    if params.dry_run:
        chosen = Selection(state=state, older_ms=older_ms)
        await place.runner.run_steps(_count(keys, chosen, tally, now_ms), Told(place.caller, tally, before[state]))
        return _cleared(min(tally.done, params.limit or tally.done), before, before)
    steps = cleaning(keys, state, before, tally, before_ms=now_ms - older_ms, limit=params.limit)
    await place.runner.run_steps(steps, Told(place.caller, tally, min(before[state], params.limit or before[state])))
    return _cleared(tally.done, before, (await place.runner.run(queue_facts(keys))).counts)


async def remove_orphans(place: Place, params: Orphans) -> OrphansRemoved:
    """Delete jobs that are in no state any more, and keys left of jobs that are gone; BullMQ's removeOrphanedJobs.

    A peer that is killed, or deletes in the middle of something, leaves them behind. Looks at every key of the Redis.

    Raises:
        NotThere: there is no such queue, and nothing is left of one.
    """
    unknown = None
    try:
        await facts_of(place, params.queue)
    except NotThere as error:
        # What is left may be all there is of the queue.
        unknown = error
    tally = Tally()
    await place.runner.run_steps(removing_orphans(Keys(place.prefix, params.queue), tally, dry_run=params.dry_run))
    if unknown is not None and not tally.done:
        raise unknown
    return {"removed": tally.done, "ids": tally.ids}


async def obliterate(place: Place, params: Obliterate) -> Cleared:
    """Delete a queue with all that is in it: jobs of every state, schedulers, events, settings, metrics.

    It is paused first. While workers run its jobs it is refused; `force` takes their jobs away from under them.

    Raises:
        NotThere: there is no such queue.
        Refused: jobs are running; nothing was deleted.
    """
    facts = await facts_of(place, params.queue)
    total, keys, tally = sum(facts.counts.values()), Keys(place.prefix, params.queue), Tally(keep=0)
    if params.dry_run:
        if not params.force:
            refuse_active(keys, facts.counts[State.ACTIVE])
        return _cleared(total, facts.counts, facts.counts)
    close = closing(keys, who=place.caller.who, now_ms=SYSTEM_CLOCK.now_ms(), force=params.force)
    await place.runner.run_steps(close)
    await place.runner.run_steps(obliterating(keys, tally), Told(place.caller, tally, total))
    return _cleared(tally.done, facts.counts, dict.fromkeys(facts.counts, 0))


def _count(keys: Keys, chosen: Selection, tally: Tally, now_ms: int) -> Steps[None]:
    def visit(jobs: list[JobRecord], listed: int) -> Steps[int | None]:
        tally.done += len(jobs)
        tally.skipped += listed - len(jobs)
        yield from ()
        return 0

    yield from walk(keys, chosen, visit, now_ms=now_ms)


def _cleared(removed: int, before: dict[str, int], after: dict[str, int]) -> Cleared:
    return {"removed": removed, "before": before, "after": after}
