"""Which BullMQ queues lie in a Redis, and what the jobs in them are called."""

from __future__ import annotations

from dataclasses import dataclass

from jobd.engine.connect import sync_client
from jobd.engine.keys import Keys
from jobd.engine.reading import find_queues, list_jobs
from jobd.engine.runner import SyncRunner
from jobd.engine.states import State
from jobd.locate import redis_source

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


def discover(url: str) -> list[FoundQueue]:
    """Return the queues under BullMQ's own prefix, by name. Nothing is written.

    Raises:
        RedisUnavailable, RedisRefused, InputError: this URL cannot be read from.
    """
    source = redis_source(url)
    with sync_client(source) as client:
        runner = SyncRunner(client)
        queues: set[str] = set()
        cursor = 0
        while True:
            cursor, found = runner.run(find_queues(source.prefix, cursor))
            queues.update(found)
            if not cursor:
                break
        return [FoundQueue(name, _names(runner, Keys(source.prefix, name))) for name in sorted(queues)]


def _names(runner: SyncRunner, keys: Keys) -> tuple[str, ...]:
    samples = runner.run_many([list_jobs(keys, state, 0, _SAMPLE - 1, asc=False, field_max=0) for state in _LOOKED_AT])
    names = {job.name for jobs in samples for job in jobs if not isinstance(job, str) and job.name}
    return tuple(sorted(names)) if len(names) <= _NAMES_MAX else ()
