"""Parameters of operations on the daemon and its workers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jobd.operations.params.kinds import (
    Count,
    Flag,
    Kind,
    Level,
    MaybeText,
    Milliseconds,
    Params,
    Pid,
    Probe,
    Table,
    Wait,
    Whole,
)


class Probed(Params):
    """What a probe is about; the answer tells both."""

    kind: Probe = Field(default=None, description="which of the two the caller uses")


class PlanOf(Params):
    """Another file."""

    config: MaybeText = Field(default=None, description="absolute path of a file to compare with")


class ReloadOf(Params):
    """How much is read again."""

    code: Flag = Field(default=False, description="import the handlers anew and replace every worker")


class Stop(Params):
    """How long to wait."""

    grace_ms: Milliseconds = Field(default=None, description="wait this long for running jobs; else [daemon] grace")
    now: Flag = Field(default=False, description="do not wait")


class Reason(Params):
    """Why somebody does it."""

    reason: MaybeText = Field(default=None, description="kept and shown by `status`")


class OnePid(Params):
    """A worker of this host."""

    pid: Pid = Field(description="process id of the worker")


class ConfigShow(Params):
    """How the configuration is shown."""

    origin: Flag = Field(default=False, description="each key with the place it comes from")


class LogsOf(Params):
    """Lines of the log; they must match every filter that is given."""

    queue: MaybeText = Field(default=None, description="lines about this queue")
    job: MaybeText = Field(default=None, description="lines about the job with this id")
    worker: Count = Field(default=None, description="lines about the worker with this pid")
    since_ms: Milliseconds = Field(default=None, description="at most this long ago")
    level: Level = Field(default=None, description="this level and more severe ones")
    grep: MaybeText = Field(default=None, description="lines with this text in one of their values")
    limit: Count = Field(default=None, description="at most so many, 1,000 without and never over 10,000")
    after: Whole = Field(
        default=None, description="the first ones after this cursor (0: all); without it the last ones"
    )
    wait_ms: Wait = Field(default=None, description="with `after`: wait so long for the first one, at most 1,000")


class Subscribe(Params):
    """What to follow as it happens."""

    to: Annotated[Literal["logs", "events"], Kind("one of logs, events")] = Field(
        default="events", description="the method to follow"
    )
    params: Table = Field(
        default={}, description="those of that method, without `limit` and `wait_ms`; with `after`, from there on"
    )
    limit: Count = Field(default=None, description="end after this many entries; without it there is no end")
