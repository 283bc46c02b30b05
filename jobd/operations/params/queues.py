"""Parameters of operations on queues."""

from __future__ import annotations

from pydantic import Field

from jobd.operations.params.daemon import Reason
from jobd.operations.params.kinds import (
    Count,
    Flag,
    MaybeText,
    Milliseconds,
    Params,
    Scale,
    StreamIds,
    Text,
    Texts,
    Wait,
)


class OneQueue(Params):
    """A queue."""

    queue: Text = Field(description="its name")


class Queues(Params):
    """Queues of this host."""

    queues: Texts = Field(default=[], description="only these; all of them when empty")


class SomeQueues(Params):
    """Queues in Redis."""

    queues: Texts = Field(default=[], description="only these, without a search for others; all of them when empty")


class QueueAndReason(OneQueue, Reason):
    """A queue, and why somebody does it."""


class ScaleTo(OneQueue, Reason):
    """How many workers."""

    to: Scale = Field(default=None, description='5, or "+1" and "-1" from the present number; null: as the file says')


class EventsOf(Params):
    """Events of queues."""

    queues: Texts = Field(default=[], description="of these; when empty those in `after`, else every queue")
    name: MaybeText = Field(default=None, description="glob for the event's name, such as failed")
    job: MaybeText = Field(default=None, description="events of the job with this id")
    limit: Count = Field(default=None, description="at most so many, 1,000 without and never over 10,000")
    oldest: Flag = Field(default=False, description="begin with the oldest kept; otherwise the latest are returned")
    after: StreamIds = Field(default={}, description="begin after these ids: the `after` of the previous answer")
    wait_ms: Wait = Field(default=None, description="with `after`: wait so long for the first one, at most 1,000")


class ShowQueue(OneQueue):
    """A queue to look at."""

    minutes: Count = Field(default=None, description="how many of BullMQ's metrics; 60 without")


class Pause(OneQueue):
    """A queue to pause."""

    reason: MaybeText = Field(default=None, description="kept in Redis and shown")


class Empty(OneQueue):
    """A queue to empty."""

    delayed: Flag = Field(default=False, description="also the jobs that are due later")
    dry_run: Flag = Field(default=False, description="change nothing, only tell")


class Clean(OneQueue):
    """Old jobs of a queue."""

    state: Text = Field(description="completed, failed, waiting, prioritized, delayed or active (without a lock)")
    older_ms: Milliseconds = Field(default=None, description="finished (else started, else added) longer ago")
    limit: Count = Field(default=None, description="at most this many, the oldest first")
    dry_run: Flag = Field(default=False, description="change nothing, only tell")


class Orphans(OneQueue):
    """A queue to rid of what is left of jobs."""

    dry_run: Flag = Field(default=False, description="change nothing, only tell")


class Obliterate(OneQueue):
    """A queue to delete."""

    force: Flag = Field(default=False, description="also while workers run its jobs")
    dry_run: Flag = Field(default=False, description="change nothing, only tell")
