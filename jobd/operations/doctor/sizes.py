"""What each queue takes in Redis, as `doctor` estimates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine import inspect as ask
from jobd.engine.keys import Keys
from jobd.engine.reading import QueueFacts, list_jobs
from jobd.engine.states import State
from jobd.operations.doctor.asking import answers_if_allowed

if TYPE_CHECKING:
    from jobd.operations.documents.doctor import QueueSize
    from jobd.operations.operation import Place


async def sizes_of(place: Place, queues: dict[str, QueueFacts]) -> list[QueueSize]:
    """Return what each queue takes: its lists, and its jobs by a few of them."""
    found: list[QueueSize] = []
    for name, facts in queues.items():
        keys = Keys(place.prefix, name)
        lists = (keys.wait, keys.active, keys.prioritized, keys.delayed, keys.completed, keys.failed, keys.events)
        sizes = await answers_if_allowed(place, [ask.key_bytes(key) for key in lists])
        jobs = sum(facts.counts.values())
        sampled: list[int] = []
        for state, count in facts.counts.items():
            if count and len(sampled) < 6:
                listed = await place.runner.run(list_jobs(keys, State(state), 0, 2, field_max=0))
                ids = [job if isinstance(job, str) else job.id for job in listed]
                sampled += await answers_if_allowed(place, [ask.key_bytes(keys.job(job_id)) for job_id in ids])
        each = sum(sampled) / len(sampled) if sampled else 0.0
        found.append({"name": name, "jobs": jobs, "bytes": round(sum(sizes) + each * jobs)})
    return sorted(found, key=lambda size: -size["bytes"])
