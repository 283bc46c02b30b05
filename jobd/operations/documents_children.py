"""The document of a job's children, part of that of the job."""

from __future__ import annotations

from typing import Annotated, TypedDict


class Children(TypedDict):
    """The children of a job in a flow."""

    pending: Annotated[list[str], "keys (`prefix:queue:id`) of those it waits for, at most 20"]
    pending_count: int
    completed_count: int
    failed: Annotated[list[str], "keys of those that failed, at most 20"]
    failed_count: int
