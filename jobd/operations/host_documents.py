"""The documents of operations on single workers and on hosts."""

from __future__ import annotations

from typing import Annotated, TypedDict

from jobd.operations.documents import Worker


class WorkerShown(TypedDict):
    """One worker of this host."""

    worker: Worker
    loop: Annotated[str, "the event loop it runs on: asyncio or uvloop"]


class WorkerRestarted(TypedDict):
    """A worker that was replaced."""

    queue: str
    was: Annotated[int, "pid of the old worker; it may finish what it runs"]
    pid: Annotated[int, "pid of the new worker, which is ready"]


class WorkerStack(TypedDict):
    """Where a worker is."""

    queue: str
    pid: int
    stack: Annotated[str, "of all threads and tasks, several lines"]


class WorkerKilled(TypedDict):
    """A worker that was killed."""

    queue: str
    pid: int
    jobs: Annotated[list[str], "ids of the jobs it ran; they are back in their queue"]


class JobStack(TypedDict):
    """Where a job is."""

    queue: str
    id: str
    pid: Annotated[int, "the worker that runs it"]
    stack: Annotated[str, "several lines"]


class QueueReset(TypedDict):
    """A queue that is not held back any more."""

    queue: str
    was: Annotated[str | None, "what held it back; null when nothing did"]


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
