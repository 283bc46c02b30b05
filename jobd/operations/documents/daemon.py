"""Documents of the daemon: its status, plans, reloads, stops, configuration and log."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from jobd.operations.documents.queues import Queue


class Hello(TypedDict):
    """Who answers."""

    protocol: Annotated[int, "number of the protocol of this socket"]
    version: Annotated[str, "jobd's version"]
    pid: int


class ConfigFile(TypedDict):
    """The file in force."""

    path: str
    changed_on_disk: Annotated[bool, "the files differ from what is in force"]
    changed_s: NotRequired[Annotated[float, "how long ago, if known"]]


class Code(TypedDict):
    """The handlers' code."""

    changed_on_disk: Annotated[bool, "imported files changed since they were imported"]


class RedisState(TypedDict):
    """What Redis said within 300 ms."""

    url: Annotated[str, "password as ***"]
    up: bool
    latency_ms: float | None
    embedded: Annotated[bool, "the private server that the daemon runs"]
    version: str | None
    origin: Annotated[str, "where the URL comes from"]
    error: Annotated[str | None, "why it is not up, or why part of it could not be read"]


class LastReload(TypedDict):
    """How the last reload ended, whoever asked for it."""

    by: str
    at_ms: int
    applied: bool
    error: str | None
    generation: Annotated[int, "the one in force afterwards"]
    interrupted: Annotated[int, "jobs interrupted so far because their worker was replaced"]


class Status(TypedDict):
    """The whole daemon."""

    state: Annotated[str, "starting, ready, degraded, reloading or draining"]
    degraded_by: Annotated[list[str], 'what is not as it should be, such as "reports: breaker"']
    pid: int
    host: str
    version: str
    uptime_s: float
    generation: Annotated[int, "number of the configuration in force"]
    reloaded_s: Annotated[float | None, "seconds since it came into force; null before the first reload"]
    incarnation: Annotated[str, "id of this start"]
    config: ConfigFile
    code: Code
    redis: RedisState
    drift: Annotated[list[str], "what was changed at run time and differs from the file, a line each"]
    strangers: Annotated[list[str], "daemons that serve these queues with another file or version, a line each"]
    last_reload: LastReload | None
    queues: list[Queue]


class Health(TypedDict):
    """Whether it runs and consumes."""

    state: str
    live: Annotated[bool, "its event loop ran in the last 10 s"]
    ready: Annotated[bool, "every queue that is not paused or quiet is served"]
    why: Annotated[str | None, "what keeps it from being live or ready"]


class Step(TypedDict):
    """One line of a plan."""

    mark: Annotated[str, '"+" new, "-" removed, "~" changed, " " unchanged']
    queue: Annotated[str, "empty for a step that belongs to no queue"]
    schedule: Annotated[str, "the schedule it is about; else empty"]
    what: str
    how: str
    action: Annotated[str, "add, remove, replace, in place, keep or refuse"]
    keys: Annotated[list[str], "the changed keys of the file"]


class Plan(TypedDict):
    """What a reload would do."""

    generation: int
    next_generation: int
    changes: bool
    steps: list[Step]
    notes: Annotated[list[str], "what `reload` leaves unchanged, such as newer code on disk"]


class Reloaded(TypedDict):
    """What a reload did."""

    generation: int
    took_s: float
    steps: list[Step]
    interrupted: Annotated[int, "jobs that it interrupted"]
    notes: list[str]


class HandedBack(TypedDict):
    """A job that went back to its queue, the attempt not counted."""

    queue: str
    id: str
    name: str
    times: Annotated[int, "how often it was handed back so far, this time included"]


class Stopped(TypedDict):
    """How the daemon's jobs ended when it stopped."""

    finished: Annotated[int, "jobs that finished while it waited"]
    handed_back: list[HandedBack]


class ConfigEntry(TypedDict):
    """One key of the configuration."""

    key: str
    value: Annotated[str, "as TOML; secrets as ***"]
    origin: Annotated[str, "the place it comes from"]


class ConfigShown(TypedDict, total=False):
    """The configuration in force: one of the two."""

    toml: Annotated[str, "the whole as one text"]
    entries: Annotated[list[ConfigEntry], "with `origin`"]


class LogLine(TypedDict):
    """One line of the daemon's log; besides these members it has the event's own."""

    time: Annotated[str, "in UTC, ISO 8601"]
    level: Annotated[str, "debug, info, warning or error"]
    event: Annotated[str, "the fixed phrase; `output` is what a handler printed"]
    queue: str | None
    pid: Annotated[int | None, "the worker's, when the line is about one"]
    job: Annotated[str | None, "for a printed line, when only one job ran"]
    line: Annotated[str | None, "what was printed"]


class LogLines(TypedDict):
    """Lines of the daemon's log."""

    lines: Annotated[list[LogLine], "oldest first"]
    cursor: Annotated[int, "the value of `after` for the next request"]
    more: Annotated[bool, "there are more by now"]
    missed: Annotated[int, "lines after the cursor that are no longer kept"]


class Subscribed(TypedDict):
    """How a subscription ended."""

    entries: Annotated[int, "how many were sent"]
    ended: Annotated[str, "limit: `limit` entries were sent; stopping: the daemon stops; gone: the client has left"]


class NumbersText(TypedDict):
    """The numbers of a daemon."""

    text: Annotated[str, "in Prometheus' text format"]
    content_type: str
