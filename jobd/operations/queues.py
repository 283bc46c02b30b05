"""Queues in Redis: what the operations `queue …` do there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from jobd.client import maintenance
from jobd.clock import SYSTEM_CLOCK
from jobd.engine.admin import pause_queue, resume_queue
from jobd.engine.job_changes import priorities_in_use
from jobd.engine.keys import Keys
from jobd.engine.options import check_queue_name
from jobd.engine.reading import QueueFacts, WrongKey, find_queues, queue_facts, queue_facts_or_fault
from jobd.engine.states import State
from jobd.errors import NotThere, RedisUnavailable
from jobd.operations.documents.queues import QueueDetails, QueueList, QueueMetrics, QueueRow, QueueShown
from jobd.operations.operation import Place
from jobd.operations.params.queues import OneQueue, Pause, ShowQueue, SomeQueues
from jobd.operations.serving import who_serves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.runner import AsyncRunner

_PAGE = 250
"""Queues asked about in one round trip."""

_PRIORITIES = 100
"""Priorities told of one queue: each is a round trip, and there may be two million."""


async def list_queues(place: Place, params: SomeQueues) -> QueueList:
    """Tell the queues under the prefix, and those of this host.

    Without names it looks at every key of the Redis, 1,000 at a time; a queue that is named and not there is left out.
    """
    names = list(dict.fromkeys(params.queues)) or await queue_names(place.runner, place.prefix)
    for name in params.queues:
        check_queue_name(name)
    rows: dict[str, QueueRow] = {}
    for start in range(0, len(names), _PAGE):
        page = names[start : start + _PAGE]
        facts = await facts_or_faults(place, page)
        rows |= {name: row_of(name, fact) for name, fact in facts.items() if isinstance(fact, WrongKey) or fact.exists}
    own = await place.own_queues(params.queues or None)
    await _find_unserved(place, [row for row in rows.values() if row["name"] not in own])
    return {"queues": [_laid_over(rows.get(name), own.get(name)) for name in sorted({*rows, *own})]}


async def show(place: Place, params: ShowQueue) -> QueueDetails:
    """Tell counts, pause and limits of a queue, how many jobs wait with each priority, and BullMQ's metrics.

    Of a queue of this host what is known here, where Redis does not answer.

    Raises:
        NotThere: there is no such queue; `known` has those there are.
    """
    own = (await place.own_queues([params.queue])).get(params.queue)
    if own is None:
        return await _show(place, params)
    known_here: QueueDetails = {"queue": own, "priorities": {}, "metrics": {}}
    if own["why"] == "redis_down":
        return known_here  # it was given its time to answer
    try:
        return await _show(place, params)
    except RedisUnavailable:
        return known_here


async def _show(place: Place, params: ShowQueue) -> QueueDetails:
    shown, keys = await _shown(place, params.queue), Keys(place.prefix, params.queue)
    waiting = {0: shown["queue"]["waiting"] or 0}
    waiting |= await place.runner.run_steps(priorities_in_use(keys, _PRIORITIES))
    metrics: dict[str, QueueMetrics] = {}
    for kind in ("completed", "failed"):
        found = await place.runner.run_steps(maintenance.metrics(keys, kind, 0, (params.minutes or 60) - 1))
        if found.count:
            metrics[kind] = {
                "count": found.count, "data": found.data,
                "previous_count": found.previous_count, "previous_at": found.previous_at,
            }  # fmt: skip
    priorities = {str(priority): count for priority, count in waiting.items() if count}
    return {**shown, "priorities": priorities, "metrics": metrics}


async def pause(place: Place, params: Pause) -> QueueShown:
    """Pause a queue in Redis for every worker everywhere, and keep who did it and why.

    Raises:
        NotThere: as `queue.show`.
    """
    await facts_of(place, params.queue)
    keys, now_ms = Keys(place.prefix, params.queue), SYSTEM_CLOCK.now_ms()
    await place.runner.run(pause_queue(keys, who=place.caller.who, why=params.reason, now_ms=now_ms))
    return await _shown(place, params.queue)


async def resume(place: Place, params: OneQueue) -> QueueShown:
    """Undo `queue.pause`.

    Raises:
        NotThere: as `queue.show`.
    """
    await facts_of(place, params.queue)
    left = 1
    while left:
        _, left = await place.runner.run(resume_queue(Keys(place.prefix, params.queue)))
    return await _shown(place, params.queue)


async def queue_names(runner: AsyncRunner, prefix: str) -> list[str]:
    """Return the names of all queues under the prefix, sorted. Looks at every key of the Redis, 1,000 at a time."""
    names: set[str] = set()
    cursor = 0
    while True:
        cursor, found = await runner.run(find_queues(prefix, cursor))
        names.update(found)
        if cursor == 0:
            return sorted(names)


async def facts_or_faults(place: Place, queues: Sequence[str]) -> dict[str, QueueFacts | WrongKey]:
    """Return {queue: what Redis says of it, or which of its keys is of a wrong type}."""
    commands = [queue_facts_or_fault(Keys(place.prefix, name)) for name in queues]
    return dict(zip(queues, await place.runner.run_many(commands), strict=True))


async def facts_of(place: Place, queue: str) -> QueueFacts:
    """Return what Redis says of a queue that exists, or that is this host's although nobody has written to it yet.

    Raises:
        NotThere: neither; `known` has the queues there are.
        InputError: it cannot be the name of a queue.
    """
    check_queue_name(queue)
    facts = await place.runner.run(queue_facts(Keys(place.prefix, queue)))
    if not (facts.exists or queue in place.declared or await place.own_queues([queue])):
        known = {*await queue_names(place.runner, place.prefix), *place.declared, *await place.own_queues()}
        raise NotThere("queue", queue, known=sorted(known))
    return facts


async def _shown(place: Place, queue: str) -> QueueShown:
    row = queue_row(queue, await facts_of(place, queue))
    own = (await place.own_queues([queue])).get(queue)
    if own is None:
        await _find_unserved(place, [row])
    return {"queue": _laid_over(row, own)}


async def _find_unserved(place: Place, rows: Sequence[QueueRow]) -> None:
    """Set `why` of those queues of other hosts whose jobs wait while nobody anywhere would take them."""
    idle = [row for row in rows if row["why"] is None and not row["active"] and (row["waiting"] or row["prioritized"])]
    if idle:
        serving = await who_serves(place)
        for row in idle:
            if not serving.serves(row["name"]):
                row["why"] = "no_workers"


def row_of(name: str, facts: QueueFacts | WrongKey) -> QueueRow:
    """Return a queue as Redis knows it, or what keeps it from being known."""
    if isinstance(facts, QueueFacts):
        return queue_row(name, facts)
    return {
        "name": name, "state": "running", "why": None, "fault": f"{facts.text}; move it away: {facts.mend}",
        "waiting": None, "prioritized": None, "delayed": None, "active": None, "completed": None, "failed": None,
        "oldest_waiting_s": None, "paused_by": None, "paused_at": None, "paused_why": None,
    }  # fmt: skip


def queue_row(name: str, facts: QueueFacts) -> QueueRow:
    """Return a queue that could be read."""
    oldest = facts.oldest_waiting_at
    return {
        "name": name,
        "state": "paused" if facts.paused else "running",
        "why": _why(facts),
        "waiting": facts.counts[State.WAITING],
        "prioritized": facts.counts[State.PRIORITIZED],
        "delayed": facts.counts[State.DELAYED],
        "active": facts.counts[State.ACTIVE],
        "completed": facts.counts[State.COMPLETED],
        "failed": facts.counts[State.FAILED],
        "waiting_children": facts.counts[State.WAITING_CHILDREN],
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
    if counts[State.DELAYED] and not any(counts[state] for state in (State.WAITING, State.PRIORITIZED, State.ACTIVE)):
        return "nothing_due"
    return None


def _laid_over(row: QueueRow | None, own: QueueRow | None) -> QueueRow:
    """Return what Redis says with what this host knows over it; a value that only one of them has stays."""
    known = {name: value for name, value in (own or {}).items() if value is not None or name not in (row or {})}
    return cast("QueueRow", {**(row or {}), **known})
