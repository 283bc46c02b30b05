"""Documents of what is done to queues and jobs by hand, beside those of documents.py."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from jobd.operations.documents_jobs import Bulk


class Cancelled(Bulk):
    """What happened to cancelled jobs."""

    running: Annotated[int, "those of `done` that are running: they are asked to stop"]


class Changed(TypedDict):
    """What was changed about a job."""

    id: str
    changed: Annotated[list[str], "of delay, priority, data"]


class Cleared(TypedDict):
    """What was deleted of a queue; with `dry_run` what would be."""

    removed: Annotated[int, "jobs"]
    before: Annotated[dict[str, int], "how many jobs were in each state"]
    after: Annotated[dict[str, int], "how many are now"]


class JobWaited(TypedDict):
    """How a job ended, or its present state."""

    ended: Annotated[bool, "false: not within the timeout; ask again, with `event_id`"]
    state: Annotated[str, "completed or failed when it ended, else where it is"]
    result: Annotated[Any, "what the handler returned"]
    failed_reason: str | None
    event_id: Annotated[str, "an event from before its end"]
    cut: Annotated[dict[str, int], "a result too long to be sent, with its size in bytes; `result` is null then"]
