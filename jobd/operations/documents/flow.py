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
    state: Annotated[str, "unknown: it was removed, or does not exist yet"]
    children: Annotated[int, "how many it has or had; there may be more than are listed"]


class FlowShown(TypedDict):
    """The flow that a job belongs to; empty when it has neither parent nor children."""

    nodes: Annotated[list[FlowNode], "the root first, each job before its children"]
    cut: Annotated[bool, "there are more jobs than are listed"]
