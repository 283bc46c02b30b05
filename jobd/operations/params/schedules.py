"""Parameters of operations on schedules."""

from __future__ import annotations

from pydantic import Field

from jobd.operations.params.kinds import MaybeText, Params, Text, Times


class MaybeQueue(Params):
    """A queue, or all of them."""

    queue: MaybeText = Field(default=None, description="only of this queue; without it of all queues")


class OneSchedule(Params):
    """A schedule."""

    name: Text = Field(description="its name")
    queue: MaybeText = Field(default=None, description="its queue, where several have one of that name")


class NextOf(OneSchedule):
    """A schedule and how far to look."""

    count: Times = Field(default=5, description="how many due times")
