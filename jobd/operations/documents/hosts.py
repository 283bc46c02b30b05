"""Documents of hosts."""

from __future__ import annotations

from typing import Annotated, TypedDict


class Host(TypedDict):
    """A daemon."""

    pid: int
    host: str
    version: str
    generation: Annotated[int, "the configuration in force there"]
    queues: list[str]
    since: Annotated[int, "when it started, ms since 1970"]
    app: Annotated[str, "[app] name"]
    config: Annotated[str, "digest of its files: the same where they are"]
    incarnation: Annotated[str, "its id: what the locks of its jobs begin with"]


class HostList(TypedDict):
    """The daemons on a Redis."""

    hosts: list[Host]
