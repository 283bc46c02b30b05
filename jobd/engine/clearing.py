"""Delete many jobs, or a whole queue, a slice at a time: no call holds Redis for more than a few milliseconds.

BullMQ's drain, clean and obliterate do each in one script, or in slices of 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.admin import pause_queue, resume_queue
from jobd.engine.reading import container, queue_facts
from jobd.engine.runner import Command
from jobd.engine.scripts import script
from jobd.engine.states import State
from jobd.engine.turn import decode_ids
from jobd.errors import Refused

if TYPE_CHECKING:
    from jobd.engine.bulk import Tally
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps

SLICE = 250
"""Jobs of one call: about 3 ms of Redis."""

CLEANABLE = (
    State.COMPLETED, State.FAILED, State.WAITING, State.PRIORITIZED, State.DELAYED, State.ACTIVE,
)  # fmt: skip
"""The states whose jobs can be cleaned, as in BullMQ; of the active ones those whose lock is gone."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What one slice did: how many jobs it looked at, and the ids of those that are gone."""

    seen: int
    ids: list[str]


def drop_jobs(
    keys: Keys,
    state: State,
    *,
    start: int = 0,
    count: int = SLICE,
    most: int = SLICE,
    before_ms: int | None = None,
    force: bool = False,
    tell: bool = False,
    legacy: bool = False,
) -> Command[Dropped]:
    """Delete up to `most` of the `count` oldest jobs of a state, from rank `start` on, with all their keys.

    Args:
        before_ms: only those that finished (else started, else were added) not after this moment.
        force: also locked ones and the next jobs of schedulers.
        tell: with BullMQ's event `cleaned`.
        legacy: of the list `paused` that BullMQ 5 made, instead of `wait`.
    """
    words = (
        3, keys.legacy_paused if legacy else container(keys, state), keys.meta, keys.events,
        keys.base, state.value, start, count, most, "" if before_ms is None else before_ms, int(force), int(tell),
    )  # fmt: skip
    return Command(words, lambda reply: Dropped(reply[0], decode_ids(reply[1])), script("drop_jobs"))


def forget_queue(keys: Keys) -> Command[bool]:
    """Delete what belongs to the queue itself once no job is left; False: jobs or schedulers are, call again."""
    words = (2, keys.meta, keys.repeat, keys.base)
    return Command(words, lambda reply: reply == 0, script("forget_queue"))


def emptying(keys: Keys, counts: dict[str, int], tally: Tally, *, delayed: bool) -> Steps[None]:
    """Delete what waits to run, as BullMQ's drain: at most as many jobs as `counts` says, so that it ends.

    The next jobs of schedulers stay.
    """
    for state in (State.WAITING, State.PRIORITIZED, *([State.DELAYED] if delayed else [])):
        for legacy in _lists(state):
            yield from _walk(keys, state, counts[state], tally, legacy=legacy)


def cleaning(
    keys: Keys, state: State, counts: dict[str, int], tally: Tally, *, before_ms: int, limit: int | None = None
) -> Steps[None]:
    """Delete the oldest jobs of a state, at most `limit`, as BullMQ's clean: with an event `cleaned` for each slice."""
    for legacy in _lists(state):
        most = None if limit is None else limit - tally.done
        yield from _walk(
            keys, state, counts[state], tally, legacy=legacy, before_ms=before_ms, most=most, tell=not legacy
        )


def closing(keys: Keys, *, who: str, now_ms: int, force: bool) -> Steps[None]:
    """Pause a queue that is to be obliterated.

    Raises:
        Refused: jobs are running, and it is not to be forced; the queue is as it was.
    """
    [facts] = yield [queue_facts(keys)]
    if not force:
        refuse_active(keys, facts.counts[State.ACTIVE])
    yield [pause_queue(keys, who=who, why="obliterate", now_ms=now_ms)]
    if not force:
        # Nobody takes a job any more; who took one before the pause was not seen by the first look.
        [after] = yield [queue_facts(keys)]
        if after.counts[State.ACTIVE] and not facts.paused:
            yield [resume_queue(keys)]
        refuse_active(keys, after.counts[State.ACTIVE])


def refuse_active(keys: Keys, active: int) -> None:
    """Raise Refused when jobs of a queue that is to be obliterated are running."""
    if active:
        text = f"{active} of its jobs run: quiet or stop their workers first, or force it (--force; force=True)"
        detail = {"queue": keys.queue, "active": active}
        raise Refused("queue-busy", f'cannot obliterate "{keys.queue}": {text}', detail=detail)


def obliterating(keys: Keys, tally: Tally) -> Steps[None]:
    """Delete every job of a queue that is paused, then the queue: what comes meanwhile goes too."""
    forgotten = False
    while not forgotten:
        [facts] = yield [queue_facts(keys)]
        for state in _ALL:
            for legacy in _lists(state):
                yield from _walk(keys, state, facts.counts[state], tally, legacy=legacy, force=True)
        [forgotten] = yield [forget_queue(keys)]


_ALL = (
    State.ACTIVE, State.DELAYED, State.COMPLETED, State.WAITING, State.PRIORITIZED, State.FAILED,
    State.WAITING_CHILDREN,
)  # fmt: skip
"""BullMQ's order, and the parents that it leaves."""


def _lists(state: State) -> tuple[bool, ...]:
    """Whether to look into the list `paused` of BullMQ 5: what waits there runs before the rest."""
    return (True, False) if state is State.WAITING else (False,)


def _walk(keys: Keys, state: State, count: int, tally: Tally, *, most: int | None = None, **how: Any) -> Steps[None]:
    """Go over the `count` oldest jobs a slice at a time; what is not dropped is passed over."""
    start, left, begun = 0, count, tally.done
    while True:
        rest = SLICE if most is None else min(SLICE, most - (tally.done - begun))
        [dropped] = yield [drop_jobs(keys, state, start=start, most=rest, **how)]
        tally.add(dropped.ids)
        start += dropped.seen - len(dropped.ids)
        left -= dropped.seen
        if dropped.seen < SLICE or left <= 0 or (most is not None and tally.done - begun >= most):
            return
