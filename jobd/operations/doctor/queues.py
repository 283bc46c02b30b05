"""What `doctor` says of queues: jobs that nobody takes, lost locks, jobs no stop lets end, endless history."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jobd.engine import inspect as ask
from jobd.engine.keys import Keys
from jobd.engine.states import State
from jobd.operations.documents.doctor import error, warning
from jobd.operations.handed_back import HANDED_BACK_OFTEN, outlasts
from jobd.operations.serving import who_serves
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobd.engine.hosts import HostSign
    from jobd.engine.reading import QueueFacts
    from jobd.operations.documents.doctor import Finding
    from jobd.operations.operation import Place

_LATE_MS = 60_000
"""A delayed job that was due longer ago is not merely waiting for a worker's next look."""

_HISTORY_MAX = 100_000
"""Finished jobs that a queue may keep before it counts as unbounded."""

_ACTIVE_LOOKED_AT = 1000
_HANDED_BACK_LOOKED_AT = 100
_SETTLE_S = 0.3
"""A job between take and lock, or between finish and removal, is in order by then."""


async def about_queues(place: Place, queues: dict[str, QueueFacts], signs: Iterable[HostSign]) -> list[Finding]:
    """Look at each queue that can be read; `signs` are those of the living hosts."""
    serving = await who_serves(place, signs)
    findings: list[Finding] = []
    for name, facts in queues.items():
        keys = Keys(place.prefix, name)
        served = serving.serves(name)
        findings += _unserved(name, facts, served=served)
        findings += await _unlocked(place, keys, facts)
        findings += await _handed_back(place, keys)
        findings += _unbounded(name, facts)
        late = (
            0 if facts.paused else await place.runner.run(ask.overdue_count(keys, int(time.time() * 1000) - _LATE_MS))
        )
        if late and served:
            findings.append(
                warning(
                    "delayed-in-the-past",
                    name,
                    f"{plural(late, 'delayed job')} should have started over a minute ago",
                    then="they wait until a worker takes the next job",
                    mend=f"jobd job promote {name} --state delayed --all",
                )
            )
    return findings


def _unserved(name: str, facts: QueueFacts, *, served: bool) -> Iterator[Finding]:
    due = facts.counts[State.WAITING] + facts.counts[State.PRIORITIZED] + facts.counts[State.DELAYED]
    if due and not served:
        yield error(
            "no-worker",
            name,
            f"{plural(due, 'job')}, and no worker anywhere takes them",
            then="they wait for ever",
            mend=f"jobd run --queue {name}    # on a host whose jobd.toml has the queue",
        )


async def _unlocked(place: Place, keys: Keys, facts: QueueFacts) -> list[Finding]:
    if not facts.counts[State.ACTIVE]:
        return []
    running: list[str] = await place.runner.run(ask.active_ids(keys, _ACTIVE_LOOKED_AT))
    ids = await _without_lock(place, keys, running)
    if ids:
        await asyncio.sleep(_SETTLE_S)
        running = await place.runner.run(ask.active_ids(keys, _ACTIVE_LOOKED_AT))
        ids = await _without_lock(place, keys, [job_id for job_id in ids if job_id in running])
    if not ids:
        return []
    shown = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    what = f"{plural(len(ids), 'active job')} without a lock: {shown}"
    then = "no worker runs them; the stalled check of a running worker puts them back, but someone has to run one"
    return [error("active-without-lock", keys.queue, what, then=then, mend=f"jobd run --queue {keys.queue}")]


async def _handed_back(place: Place, keys: Keys) -> list[Finding]:
    """Find jobs that every stop interrupts: they run now, or are at the front of their queue again."""
    ids = [
        *await place.runner.run(ask.active_ids(keys, _HANDED_BACK_LOOKED_AT)),
        *await place.runner.run(ask.next_ids(keys, _HANDED_BACK_LOOKED_AT)),
    ]
    times = await place.runner.run_many([ask.handed_back(keys, job_id) for job_id in ids])
    return [
        warning(
            "handed-back-often",
            keys.queue,
            f"job {job_id} was {outlasts(count)}",
            then="each stop and deploy lets it start from its beginning; it may never be done",
            mend=f"jobd job show {keys.queue} {job_id}",
        )
        for job_id, count in zip(ids, times, strict=True)
        if count >= HANDED_BACK_OFTEN
    ]


async def _without_lock(place: Place, keys: Keys, ids: list[str]) -> list[str]:
    locked = await place.runner.run_many([ask.has_lock(keys, job_id) for job_id in ids])
    return [job_id for job_id, has in zip(ids, locked, strict=True) if not has]


def _unbounded(name: str, facts: QueueFacts) -> Iterator[Finding]:
    for state in (State.COMPLETED, State.FAILED):
        count = facts.counts[state]
        if count > _HISTORY_MAX:
            yield warning(
                "unbounded-history",
                name,
                f"{count:,} {state.value} jobs are kept",
                then="Redis' memory fills up",
                mend=f"jobd queue clean {name} --state {state.value} --older 7d",
            )
