"""The documents of `history`."""

from __future__ import annotations

from typing import Annotated, TypedDict


class QueueHistory(TypedDict):
    """The last hours of a queue, a number for each minute, the oldest first; null where there are no figures."""

    name: str
    source: Annotated[str, "daemon: what this host did; bullmq: what workers everywhere did, where BullMQ counts it"]
    until: Annotated[int, "end of the last minute, which may not be over yet"]
    done: Annotated[list[float | None], "runs that ended, failed ones included"]
    failed: Annotated[list[float | None], "runs that ended in an error; with source bullmq, jobs that failed for good"]
    waiting: Annotated[list[float | None], "the largest number of waiting jobs"]
    oldest_s: Annotated[list[float | None], "the longest time that the next job had waited"]


class Histories(TypedDict):
    """The last hours of queues."""

    queues: list[QueueHistory]
