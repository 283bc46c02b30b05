"""Which BullMQ queues lie in a Redis, and what the jobs in them are called."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.engine.keys import Keys
from jobd.engine.reading import find_places, list_jobs, written_by_bullmq
from jobd.engine.routing import runner_on
from jobd.engine.states import State
from jobd.locate import redis_source

if TYPE_CHECKING:
    from jobd.engine.runner import AsyncRunner
    from jobd.locate import RedisSource

_LOOKED_AT = (State.WAITING, State.PRIORITIZED, State.DELAYED, State.ACTIVE, State.FAILED, State.COMPLETED)
_SAMPLE = 100
"""Jobs looked at for names, of each state of each queue."""

_NAMES_MAX = 20
"""A queue with more names than this most likely has data in its names; it gets one handler for all of them."""


@dataclass(frozen=True, slots=True)
class FoundQueue:
    """A queue; `names` are those of the jobs seen in it, sorted; empty: none were seen, or too many to list."""

    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What lies in a Redis: the queues of one prefix, and how many there are under others."""

    prefix: str
    queues: list[FoundQueue]
    others: dict[str, int]


def discover(url: str) -> Discovery:
    """Return the queues under BullMQ's own prefix, or where there are none under the one with most. Nothing is written.

    Raises:
        RedisUnavailable, RedisRefused, InputError: this URL cannot be read from.
    """
    return asyncio.run(_discover(redis_source(url)))


async def _discover(source: RedisSource) -> Discovery:
    runner = runner_on(source)
    try:
        prefix = source.prefix
        places = await _places(runner, prefix)
        if places and prefix not in places:
            prefix = min(places, key=lambda one: (-len(places[one]), one))
        names = sorted(places.pop(prefix, ()))
        queues = [FoundQueue(name, await _names(runner, Keys(prefix, name))) for name in names]
        return Discovery(prefix, queues, {other: len(found) for other, found in sorted(places.items())})
    finally:
        await runner.aclose()


async def _places(runner: AsyncRunner, own: str) -> dict[str, set[str]]:
    """Names by prefix. Others than `own` must look written by BullMQ: any program may call a hash "x:y:meta"."""
    places: dict[str, set[str]] = {}
    cursor = 0
    while True:
        cursor, found = await runner.run(find_places(cursor))
        sure = await runner.run_many([written_by_bullmq(Keys(prefix, name)) for prefix, name in found])
        for prefix, name in (place for place, is_sure in zip(found, sure, strict=True) if is_sure or place[0] == own):
            places.setdefault(prefix, set()).add(name)
        if not cursor:
            return places


async def _names(runner: AsyncRunner, keys: Keys) -> tuple[str, ...]:
    samples = await runner.run_many(
        [list_jobs(keys, state, 0, _SAMPLE - 1, asc=False, field_max=0) for state in _LOOKED_AT]
    )
    names = {job.name for jobs in samples for job in jobs if not isinstance(job, str) and job.name}
    return tuple(sorted(names)) if len(names) <= _NAMES_MAX else ()
