"""The documents of `history`."""

from __future__ import annotations

from typing import Annotated, TypedDict


class QueueHistory(TypedDict):
    """The last hours of a queue, a number for each minute, the oldest first; null where nobody looked."""

    name: str
    source: Annotated[str, "daemon: what this host did; bullmq: what workers everywhere did, where BullMQ counts it"]
    until: Annotated[int, "end of the last minute, which may be under way"]
    done: Annotated[list[float | None], "runs that ended, failed ones included"]
    failed: Annotated[list[float | None], "runs that ended in an error; of bullmq jobs that failed for good"]
    waiting: Annotated[list[float | None], "the most jobs that waited"]
    oldest_s: Annotated[list[float | None], "the longest that the next job had waited"]


class Histories(TypedDict):
    """The last hours of queues."""

    queues: list[QueueHistory]
