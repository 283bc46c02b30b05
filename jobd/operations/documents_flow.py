"""The document of `job.flow`."""

from __future__ import annotations

from typing import Annotated, TypedDict


class FlowNode(TypedDict):
    """A job of a flow."""

    depth: Annotated[int, "0 for the root"]
    prefix: str
    queue: str
    id: str
    name: str
    state: Annotated[str, "unknown: it was removed, or is not there yet"]
    children: Annotated[int, "how many it has or had; those that are not listed are more than are told"]


class FlowShown(TypedDict):
    """The flow that a job belongs to; empty when it has neither parent nor children."""

    nodes: Annotated[list[FlowNode], "the root first, each job before its children"]
    cut: Annotated[bool, "there are more jobs than are listed"]
