"""Which jobs that wait in Redis the handlers of a configuration would refuse: `jobd check --waiting`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.cli.describe import Payload, describe
from jobd.engine.connect import sync_client
from jobd.engine.job import JobRecord
from jobd.engine.keys import Keys
from jobd.engine.reading import list_jobs
from jobd.engine.runner import SyncRunner
from jobd.engine.states import State
from jobd.locate import redis_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.config.model import Config, Queue

PAGE = 500
MOST = 5_000
"""Jobs of one queue that are looked at: enough to tell of a mistake, and little enough for a command."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A job that waits and would fail before its handler runs."""

    queue: str
    job: str
    id: str
    reason: str

    def document(self) -> dict[str, str]:
        """Return it for --json."""
        return {"queue": self.queue, "name": self.job, "id": self.id, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the waiting jobs gave; `partly` are queues of which only the first MOST were looked at."""

    misfits: list[Misfit]
    jobs: int
    partly: list[str]


def look(config: Config, url: str | None) -> Looked:
    """Return what waits and does not fit, on this Redis or that of the configuration. Nothing is changed.

    Raises:
        RedisUnavailable, RedisRefused, NoRedisConfigured: it cannot be asked.
        Refused: the handlers cannot be looked at.
    """
    source = redis_source(url, config=config.path, prefix=config.redis.prefix, env=os.environ)
    client = sync_client(source)
    try:
        found = {
            queue.name: list(_waiting(SyncRunner(client), Keys(source.prefix, queue.name)))
            for queue in config.queues.values()
        }
    finally:
        client.close()
    return _judge(config, found)


def _judge(config: Config, found: dict[str, list[JobRecord]]) -> Looked:
    misfits: list[Misfit] = []
    payloads, judged = [], []
    for name, records in found.items():
        queue = config.queues[name]
        for record in records:
            handler = _handler(queue, record.name)
            if handler is None:
                known = ", ".join(sorted(queue.jobs))
                reason = f'no handler for job name "{record.name}"; known names: {known}'
                misfits.append(Misfit(name, record.name, record.id, reason))
            else:
                text = str(record.data) if "data" in record.broken else json.dumps(record.data)
                payloads.append(Payload(name, handler, text))
                judged.append(record)
    described = describe(config, [config.queues[name] for name, records in found.items() if records], payloads)
    for record, misfit in zip(judged, described.misfits, strict=True):
        if misfit is not None:
            misfits.append(Misfit(record.queue, record.name, record.id, misfit))
    partly = [name for name, records in found.items() if len(records) == MOST]
    return Looked(misfits, sum(map(len, found.values())), partly)


def _handler(queue: Queue, name: str) -> str | None:
    job = queue.jobs.get(name)
    return job.handler if job else queue.handler


def _waiting(runner: SyncRunner, keys: Keys) -> Iterator[JobRecord]:
    """Yield what has not run yet or will run again, at most MOST."""
    left = MOST
    for state in (State.WAITING, State.PRIORITIZED, State.DELAYED):
        start = 0
        while left:
            page = runner.run(list_jobs(keys, state, start, start + min(PAGE, left) - 1))
            records = [job for job in page if isinstance(job, JobRecord)]
            yield from records
            left -= len(records)
            start += len(page)
            if len(page) < PAGE:
                break
