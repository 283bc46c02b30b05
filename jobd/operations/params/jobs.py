"""Parameters of operations on jobs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from jobd.engine.selection import Selection
from jobd.errors import InputError
from jobd.operations.params.kinds import (
    Count,
    Flag,
    Kind,
    MaybeText,
    Milliseconds,
    Offset,
    Priority,
    StreamId,
    Table,
    Text,
    Texts,
)
from jobd.operations.params.queues import OneQueue
from jobd.protocol.control import BadParams


class Add(OneQueue):
    """A job to add."""

    name: Text = Field(description="the job's name")
    data: Annotated[Any, Kind("any JSON")] = Field(default=None, description="its data")
    options: Table = Field(default={}, description="as the client's `add` takes them, such as delay, attempts, job_id")


class OneJob(OneQueue):
    """A job."""

    id: Text = Field(description="the job's id")


class Filters(OneQueue):
    """Jobs of a queue; they must match every filter that is given."""

    state: MaybeText = Field(default=None, description="one of the states of a job")
    name: MaybeText = Field(default=None, description="glob for the job's name")
    error: MaybeText = Field(default=None, description="glob for the reason of its failure")
    since_ms: Milliseconds = Field(
        default=None, description="finished (else started, else added) at most this long ago"
    )
    older_ms: Milliseconds = Field(default=None, description="finished (else started, else added) longer ago")
    running_ms: Milliseconds = Field(default=None, description="active, and started at least this long ago")
    limit: Count = Field(
        default=None, description="at most this many; a listing has 100 by default and never more than 10,000"
    )

    def selection(self) -> Selection:
        """Return the filters as a selection.

        Raises:
            InputError: no such state.
        """
        return Selection.of(
            state=self.state,
            name=self.name,
            error=self.error,
            since_ms=self.since_ms,
            older_ms=self.older_ms,
            running_ms=self.running_ms,
            limit=self.limit,
        )


class Listing(Filters):
    """Jobs of a queue, and which part of them."""

    offset: Offset = Field(default=0, description="skip this many matches")
    after: MaybeText = Field(
        default=None,
        description='instead of `offset`: "" for the first page, then the `next` of the page before; see `looked`',
    )


class Change(OneJob):
    """A job, and what is to be different about it; null leaves that as it is."""

    delay_ms: Milliseconds = Field(default=None, description="a delayed job is due so long from now")
    priority: Priority = Field(default=None, description="0 for none, 1 runs first")
    lifo: Flag = Field(default=False, description="with `priority`: before its equals")
    data: Annotated[Any, Kind("any JSON")] = Field(default=None, description="instead of the data it has")

    def given(self) -> list[str]:
        """Return what is to be changed.

        Raises:
            InputError: nothing, or `lifo` without `priority`.
        """
        given = [word for word in ("delay_ms", "priority", "data") if getattr(self, word) is not None]
        if not given:
            raise InputError("nothing to change: give a delay, a priority or data")
        if self.lifo and self.priority is None:
            raise InputError("lifo goes with a priority")
        return given


class WaitFor(OneJob):
    """A job to wait for."""

    timeout_ms: Milliseconds = Field(default=None, description="at most this long; never more than 25,000")
    event_id: StreamId = Field(
        default=None, description="an event of the queue from before its end, as returned by `job.add` and `job.wait`"
    )


class Which(Filters):
    """The jobs that a change is for: ids, filters or all of them, exactly one of the three."""

    ids: Texts = Field(default=[], description="these jobs")
    all: Flag = Field(default=False, description="every job, without a filter")
    dry_run: Flag = Field(default=False, description="change nothing, only tell")

    @model_validator(mode="after")
    def _exactly_one(self) -> Which:
        """Refuse none and more than one: a bulk change must not take "nothing said" for "all"."""
        filtered = any(getattr(self, name) is not None for name in Filters.model_fields if name != "queue")
        given = [name for name, there in (("ids", self.ids), ("filters", filtered), ("all", self.all)) if there]
        if len(given) != 1:
            told = " and ".join(given) or "none of them"
            raise BadParams("ids", f"ids: name the jobs by ids, by filters or with all = true, got {told}")
        return self
