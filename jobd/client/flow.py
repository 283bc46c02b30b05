"""A flow: a tree of jobs, added in one step. A parent runs when its children are done."""

from __future__ import annotations

import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from jobd.engine.keys import Keys
from jobd.engine.new_job import NewJob, Parent
from jobd.engine.options import check_if_failed, check_prefix, check_queue_name, new_job
from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from jobd.engine.add_options import AddOptions

Handle = TypeVar("Handle")

MAX_JOBS = 10_000
"""Jobs of one flow: they go into Redis in one step, which holds up everyone else for about 0.15 s then."""


class Flow:
    """A job and the children it waits for, not added yet: `queue.add_flow(Flow("build", children=[Flow("page")]))`.

    `queue` and `prefix` are the parent's where they are not given, those of the Queue it is added to at the root. The
    options are those of Queue.add; `if_failed` says what a failure of this child means to its parent: "fail",
    "continue" (run at once), "ignore", "remove"; without it the parent waits until the child is retried or removed.
    """

    __slots__ = ("children", "data", "name", "options", "prefix", "queue")

    def __init__(
        self,
        name: str,
        data: Any = {},  # noqa: B006 - never changed
        *,
        queue: str | None = None,
        prefix: str | None = None,
        children: Iterable[Flow] = (),
        **options: Unpack[AddOptions],
    ) -> None:
        self.name: str = name
        self.data: Any = data
        self.queue: str | None = queue
        self.prefix: str | None = prefix
        self.children: list[Flow] = list(children)
        self.options: AddOptions = options

    def __repr__(self) -> str:
        return f"Flow({self.name!r}, queue={self.queue!r}, children={len(self.children)})"


class FlowJob(NamedTuple):
    """A node of a flow, ready to be stored. `children` are places in the row it stands in."""

    keys: Keys
    job: NewJob
    children: list[int]


class FlowHandle(NamedTuple, Generic[Handle]):
    """A node of a flow that was added: its job's handle and its children's, in order.

    `refused`: the job existed as the child of another parent and stays with that one; this flow's parent waits on.
    """

    job: Handle
    children: list[FlowHandle[Handle]]
    refused: bool = False


def flow_jobs(flow: Flow, keys: Keys, *, now_ms: int) -> list[FlowJob]:
    """Return the jobs of a flow, the root first, level by level as BullMQ's FlowProducer.

    `keys` are those of the root where it names no queue of its own.

    Raises:
        InputError: one of them is wrong; the text says which.
    """
    jobs: list[FlowJob] = []
    left: deque[tuple[Flow, FlowJob | None]] = deque([(flow, None)])
    while left:
        node, parent = left.popleft()
        if len(jobs) == MAX_JOBS:
            raise InputError(f"a flow has at most {MAX_JOBS} jobs; this one has more, or contains itself")
        try:
            own = _keys(node, keys if parent is None else parent.keys)
            made = FlowJob(own, _job(node, own, parent, now_ms), [])
        except InputError as error:
            raise InputError(f'cannot add job "{node.name}" of the flow: {error}') from error
        if parent is not None:
            parent.children.append(len(jobs))
        jobs.append(made)
        left += ((child, made) for child in node.children)
    return jobs


def _keys(flow: Flow, above: Keys) -> Keys:
    if flow.queue is None and flow.prefix is None:
        return above
    prefix = above.prefix if flow.prefix is None else check_prefix(flow.prefix)
    return Keys(prefix, above.queue if flow.queue is None else check_queue_name(flow.queue))


def _job(flow: Flow, keys: Keys, parent: FlowJob | None, now_ms: int) -> NewJob:
    options: dict[str, Any] = dict(flow.options)
    if options.get("deduplicate") is not None:
        raise InputError("deduplicate cannot be used in a flow")
    if parent is not None and options.get("parent") is not None:
        raise InputError("its parent is the job above it; only the root of a flow has another one")
    if_failed = options.pop("if_failed", None) if parent is not None else None
    job = new_job(flow.name, flow.data, options, now_ms=now_ms, prefix=keys.prefix)
    if job.job_id is None:
        # Known before Redis counts: the children name their parent.
        job.job_id = str(uuid.uuid4())
    if not options:
        job.opts = dict(job.opts)
    job.children = bool(flow.children)
    if parent is not None:
        job.has_parent(Parent(parent.job.job_id or "", parent.keys.qualified, check_if_failed(if_failed)))
    return job
