"""Documents of queues' events."""

from __future__ import annotations

from typing import Annotated, TypedDict


class QueueEvent(TypedDict):
    """An event of a queue as BullMQ writes it; besides these members it has the stream's own, which are strings."""

    time: Annotated[str, "Redis's clock, in UTC, ISO 8601"]
    queue: str
    event: str
    jobId: Annotated[str | None, "null for an event of the queue as a whole"]


class QueueEvents(TypedDict):
    """Events of queues."""

    events: Annotated[list[QueueEvent], "in order of time"]
    after: Annotated[dict[str, str], "the value of `after` for the next request: the last id of each queue's stream"]
    more: Annotated[bool, "there are more by now"]
