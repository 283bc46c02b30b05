"""A job on its way in, and what became of it. Plain classes: a producer's import and each of its adds pay for them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Parent(NamedTuple):
    """The parent of a job: its id, its queue (`prefix:name`), and what a failure of this child means to it.

    `if_failed` is one of IF_FAILED, None: the parent waits until the child is retried or removed.
    """

    id: str
    queue: str
    if_failed: str | None = None

    @property
    def key(self) -> str:
        """Key of the parent's hash."""
        return f"{self.queue}:{self.id}"

    def field(self) -> str:
        """The child's field `parent`, JSON: it decides what a failure means, not the child's options."""
        flag = {} if self.if_failed is None else {IF_FAILED[self.if_failed]: True}
        return json.dumps({"id": self.id, "queueKey": self.queue, **flag}, ensure_ascii=False, separators=(",", ":"))


IF_FAILED = {"fail": "fpof", "continue": "cpof", "ignore": "idof", "remove": "rdof"}
"""What the failure of a child may mean, as the stored options call it."""


class NewJob:
    """A job to be added; already checked (options.py). `opts` are BullMQ's stored options, aliased keys.

    `data` is JSON. `job_id` None lets Redis count. `delay_ms` 0 and `priority` 0 mean none. `children`: it waits for
    some, which come in the same flow.
    """

    __slots__ = ("children", "data", "delay_ms", "job_id", "lifo", "name", "opts", "parent", "priority", "timestamp")

    def __init__(self, name: str, data: bytes, opts: dict[str, Any], timestamp: int) -> None:
        self.name = name
        self.data = data
        self.opts = opts
        self.timestamp = timestamp
        self.job_id: str | None = None
        self.delay_ms = 0
        self.priority = 0
        self.lifo = False
        self.parent: Parent | None = None
        self.children = False

    def has_parent(self, parent: Parent) -> None:
        """Make it a child. The options say so too: dashboards read them."""
        self.parent = parent
        self.opts["parent"] = {"id": parent.id, "queue": parent.queue}
        if parent.if_failed is not None:
            self.opts[IF_FAILED[parent.if_failed]] = True


class Added(NamedTuple):
    """What became of one add.

    `event_id` is the stream id of its last event: a waiter reads the stream from there. `duplicate`: the id existed
    and nothing was changed. `deduplicated`: `job_id` names the job that owns the deduplication id. `code` is
    MISSING_PARENT or PARENT_TAKEN (codes.Code) when the add was refused, else 0.
    """

    job_id: str
    event_id: str
    duplicate: bool
    deduplicated: bool
    code: int = 0
