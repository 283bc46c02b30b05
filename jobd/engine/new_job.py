"""A job on its way in, and what became of it. Plain classes: a producer's import and each of its adds pay for them."""

from __future__ import annotations

from typing import Any, NamedTuple


class NewJob:
    """A job to be added; already checked (options.py). `opts` are BullMQ's stored options, aliased keys.

    `data` is JSON. `job_id` None lets Redis count. `delay_ms` 0 and `priority` 0 mean none.
    """

    __slots__ = ("data", "delay_ms", "job_id", "lifo", "name", "opts", "priority", "timestamp")

    def __init__(self, name: str, data: bytes, opts: dict[str, Any], timestamp: int) -> None:
        self.name = name
        self.data = data
        self.opts = opts
        self.timestamp = timestamp
        self.job_id: str | None = None
        self.delay_ms = 0
        self.priority = 0
        self.lifo = False


class Added(NamedTuple):
    """What became of one add.

    `event_id` is the stream id of its last event: a waiter reads the stream from there. `duplicate`: the id existed
    and nothing was changed. `deduplicated`: `job_id` names the job that owns the deduplication id.
    """

    job_id: str
    event_id: str
    duplicate: bool
    deduplicated: bool
