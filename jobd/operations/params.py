"""The parameters of operations: strict, and told apart by name when they are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from jobd.duration import MAX_MS
from jobd.engine.selection import Selection
from jobd.errors import InputError
from jobd.protocol.control import BadParams
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNT_MAX = 2**31 - 1

WAIT_MAX_MS = 1000
"""A request that waits is asked again after that: a caller that has gone away holds nothing for longer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter takes, in words: for messages and the reference page."""

    words: str


def _encodes(text: str | None) -> str | None:
    """Refuse half of a surrogate pair: it can go neither to Redis nor into a file."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "half of a surrogate pair") from None
    return text


Text = Annotated[str, Kind("text"), Field(min_length=1)]
MaybeText = Annotated[str | None, Kind("text"), AfterValidator(_encodes)]
Flag = Annotated[bool, Kind("true or false")]
Milliseconds = Annotated[int | None, Kind("milliseconds"), Field(ge=0, le=MAX_MS)]
Count = Annotated[int | None, Kind("a whole number of at least 1"), Field(ge=1, le=COUNT_MAX)]
Priority = Annotated[int | None, Kind("a whole number of at least 0"), Field(ge=0, le=COUNT_MAX)]
Offset = Annotated[int, Kind("a whole number of at least 0"), Field(ge=0, le=COUNT_MAX)]
Times = Annotated[int, Kind("a whole number from 1 to 1,000"), Field(ge=1, le=1000)]
Texts = Annotated[list[Annotated[str, AfterValidator(_encodes)]], Kind("a list of texts")]
Table = Annotated[dict[str, Any], Kind("an object")]
Scale = Annotated[
    str | None, Kind('a number of workers as text such as "5", "+1" or "-1"'), Field(pattern=r"^[+-]?[0-9]{1,6}$")
]
Pid = Annotated[int, Kind("a process id"), Field(ge=1, le=COUNT_MAX)]
Probe = Annotated[Literal["live", "ready"] | None, Kind("one of live, ready")]


class Params(BaseModel):
    """The parameters of one operation; null stands for one that is not given."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class Nothing(Params):
    """No parameters."""


class OneQueue(Params):
    """A queue."""

    queue: Text = Field(description="its name")


class Queues(Params):
    """Queues of this host."""

    queues: Texts = Field(default=[], description="only these; all of them when empty")


class SomeQueues(Params):
    """Queues in Redis."""

    queues: Texts = Field(default=[], description="only these, without a search for others; all of them when empty")


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


class QueueAndReason(OneQueue, Reason):
    """A queue, and why somebody does it."""


class OnePid(Params):
    """A worker of this host."""

    pid: Pid = Field(description="process id of the worker")


class ScaleTo(OneQueue, Reason):
    """How many workers."""

    to: Scale = Field(default=None, description='"5", or "+1" and "-1" from the present number; null: as the file says')


class ConfigShow(Params):
    """How the configuration is shown."""

    origin: Flag = Field(default=False, description="each key with the place it comes from")


Level = Annotated[Literal["debug", "info", "warning", "error"] | None, Kind("one of debug, info, warning, error")]
Wait = Annotated[int | None, Kind("milliseconds"), Field(ge=0, le=WAIT_MAX_MS)]
Whole = Annotated[int | None, Kind("a whole number"), Field(ge=0, le=2**53)]
StreamId = Annotated[str | None, Kind("the id of a stream's entry"), Field(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?$")]
StreamIds = Annotated[
    dict[str, Annotated[str, Field(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?$")]], Kind("an object of stream ids")
]


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


class EventsOf(Params):
    """Events of queues."""

    queues: Texts = Field(default=[], description="of these; when empty those in `after`, else every queue")
    name: MaybeText = Field(default=None, description="glob for the event's name, such as failed")
    job: MaybeText = Field(default=None, description="events of the job with this id")
    limit: Count = Field(default=None, description="at most so many, 1,000 without and never over 10,000")
    oldest: Flag = Field(default=False, description="begin with the oldest kept; otherwise the latest are returned")
    after: StreamIds = Field(default={}, description="begin after these ids: the `after` of the previous answer")
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


class Pause(OneQueue):
    """A queue to pause."""

    reason: MaybeText = Field(default=None, description="kept in Redis and shown")


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


class Obliterate(OneQueue):
    """A queue to delete."""

    force: Flag = Field(default=False, description="also while workers run its jobs")
    dry_run: Flag = Field(default=False, description="change nothing, only tell")


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


P = TypeVar("P", bound=Params)


def read_params(model: type[P], given: Mapping[str, Any]) -> P:
    """Return the parameters of a request.

    Raises:
        BadParams: one is missing, unknown or of a wrong kind; names it, and the nearest one that is taken.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[Params], error: ValidationError) -> BadParams:
    # What is unknown is told first: it may be the misspelt name of what is missing.
    problem = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    own = problem.get("ctx", {}).get("error")
    if isinstance(own, BadParams):
        return own
    name, value = str(problem["loc"][0]), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            known = list(model.model_fields)
            near = nearest(name, known, likeness=0.5)
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            text = f"unknown parameter; {f'did you mean {near}?' if near else takes}"
        case "missing":
            text = "is missing"
        case "string_too_short":
            text = "expected text, got an empty one"
        case "string_unicode":
            text = "expected text, got half of a surrogate pair"
        case _:
            text = f"expected {kind_of(model, name)}, got {_told(value)}"
    return BadParams(name, f"{name}: {text}")


def kind_of(model: type[Params], name: str) -> str:
    """Return what a parameter takes, in words."""
    return next(
        (extra.words for extra in model.model_fields[name].metadata if isinstance(extra, Kind)), "another value"
    )


def _told(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + "…"
