"""The flow of a job: up to its root, then down through the children, as far as a person wants to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine.flow_reading import CHILDREN_MAX, child_counts, child_keys, split_key
from jobd.engine.keys import Keys
from jobd.engine.reading import get_job
from jobd.errors import NotThere
from jobd.operations.documents.flow import FlowShown
from jobd.operations.operation import Place
from jobd.operations.params.jobs import OneJob
from jobd.operations.queues import facts_of
from jobd.words import natural

if TYPE_CHECKING:
    from jobd.engine.job import JobRecord
    from jobd.operations.documents.flow import FlowNode

NODES_MAX = 200
_DEPTH_MAX = 20
"""Deeper flows exist in nobody's application; a ring of parents, which only a hand can make, ends here."""


async def show(place: Place, params: OneJob) -> FlowShown:
    """Tell the tree of jobs that a job belongs to, at most 200 of them.

    Raises:
        NotThere: as `job.show`.
    """
    keys, job_id = Keys(place.prefix, params.queue), params.id
    first = await _job(place, keys, job_id)
    if first is None:
        await facts_of(place, params.queue)
        raise NotThere("job", params.id)
    parent_key = first.parent_key
    for _ in range(_DEPTH_MAX):
        above = split_key(parent_key) if parent_key else None
        parent = await _job(place, *above) if above is not None else None
        if above is None or parent is None:
            break  # the root, or the parent was removed: what is left of the flow begins here
        (keys, job_id), parent_key = above, parent.parent_key
    walk = _Walk(place)
    await walk.down(keys, job_id, 0)
    return {"nodes": walk.nodes if len(walk.nodes) > 1 else [], "cut": walk.cut}


class _Walk:
    def __init__(self, place: Place) -> None:
        self._place = place
        self.nodes: list[FlowNode] = []
        self.cut = False

    async def down(self, keys: Keys, job_id: str, depth: int) -> None:
        """Note a job, then its children in the order of their ids."""
        runner = self._place.runner
        if len(self.nodes) >= NODES_MAX or depth > _DEPTH_MAX:
            self.cut = True
            return
        job = await _job(self._place, keys, job_id)
        counts: list[int] = await runner.run_many(child_counts(keys, job_id))
        self.nodes.append(
            {
                "depth": depth, "prefix": keys.prefix, "queue": keys.queue, "id": job_id,
                "name": job.name if job is not None else "", "state": job.state.value if job is not None else "unknown",
                "children": sum(counts),
            }
        )  # fmt: skip
        if not any(counts):
            return
        listed = await runner.run_many(child_keys(keys, job_id, counts))
        children = sorted({key for place in listed for key in place}, key=natural)[:CHILDREN_MAX]
        self.cut = self.cut or len(children) < sum(counts)
        for key in children:
            child = split_key(key)
            if child is not None:
                await self.down(*child, depth + 1)


async def _job(place: Place, keys: Keys, job_id: str) -> JobRecord | None:
    """Return the head of a job; its payloads stay where they are."""
    return await place.runner.run(get_job(keys, job_id, field_max=0))
