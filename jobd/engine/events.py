"""Event names as BullMQ writes them into a queue's stream (docs/wire-format.md, "Events")."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """The `event` field of a stream entry."""

    ADDED = "added"
    WAITING = "waiting"
    DELAYED = "delayed"
    WAITING_CHILDREN = "waiting-children"
    ACTIVE = "active"
    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRIES_EXHAUSTED = "retries-exhausted"
    STALLED = "stalled"
    DUPLICATED = "duplicated"
    DEDUPLICATED = "deduplicated"
    REMOVED = "removed"
    DRAINED = "drained"
    CLEANED = "cleaned"
    PAUSED = "paused"
    RESUMED = "resumed"
