"""What a producer may say about a job: types for those who write and check it, `options` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import NotRequired

    from jobd.engine.backoff import Backoff


class Deduplicate(TypedDict):
    """The long form of `deduplicate`; times are texts such as "5s" or seconds. BullMQ's deduplication options."""

    id: str
    ttl: NotRequired[str | float]
    extend: NotRequired[bool]
    replace: NotRequired[bool]
    keep_last_if_active: NotRequired[bool]
    reschedule: NotRequired[bool]


class KeepOption(TypedDict, total=False):
    """The long form of `keep_completed` and `keep_failed`: at most `count` jobs, none older than `age`."""

    count: int
    age: str | float
    limit: int


class EachOptions(TypedDict, total=False):
    """What a producer may say about a job, and about each job of a schedule.

    `deduplicate` is an id or a table; `keep_completed`, `keep_failed`: True (all), False (none), a count or a table;
    `size_limit` refuses larger data ("64kB"); `omit_context`: the job begins a trace of its own instead of going on
    with the current one.
    """

    attempts: int | None
    backoff: Backoff | str | float | timedelta | None
    priority: int | None
    deduplicate: str | Deduplicate | None
    lifo: bool
    keep_completed: bool | int | KeepOption | None
    keep_failed: bool | int | KeepOption | None
    keep_logs: int | None
    size_limit: int | str | None
    omit_context: bool


class AddOptions(EachOptions, total=False):
    """Everything a producer may say about a job beside its name and data. Times: "10s", or a number of seconds.

    `timestamp` is when the job was made, ms since 1970 (default now). `parent` is a job this one is a child of: a
    handle, the job a handler runs, or `{"id", "queue": "prefix:name"}`; `if_failed` says what a failure of this child
    means to its parent: "fail", "continue", "ignore" or "remove".
    """

    delay: str | float | timedelta | None
    job_id: str | None
    timestamp: int | None
    parent: Any
    if_failed: str | None
