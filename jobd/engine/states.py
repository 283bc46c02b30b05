"""The states of a job; a job is in exactly one."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is. The values are BullMQ's words (`Job.getState`)."""

    WAITING = "waiting"
    PRIORITIZED = "prioritized"
    DELAYED = "delayed"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    WAITING_CHILDREN = "waiting-children"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How one run of a handler ended, as the turn script is told. The values are the script's first letter."""

    COMPLETED = "c"
    FAILED = "f"
    RETRY = "r"
    """Run again: at once when delay_ms is 0, else delayed. Counts as an attempt."""
    LATER = "l"
    """Delayed by delay_ms without counting the attempt (RetryLater); at the front of its queue when that is 0."""
    LIMITED = "x"
    """Back to the front of its queue without counting the attempt; nobody takes a job for delay_ms (RateLimited)."""
    WAIT_FOR_CHILDREN = "w"
    """To waiting-children until they are done, then run again; the attempt is not counted (WaitForChildren)."""
    HAND_BACK = "b"
    """To the front of its queue without counting the attempt (a job taken and never started)."""
