"""Documents of workers of this host and the jobs they run."""

from __future__ import annotations

from typing import Annotated, TypedDict


class RunningJob(TypedDict):
    """A job that a worker runs now."""

    id: Annotated[str | None, "null when the id is longer than the board can hold"]
    name: str
    running_s: float


class Worker(TypedDict):
    """One worker process."""

    pid: Annotated[int, "0 while it is being restarted"]
    queue: str
    state: Annotated[str, "starting, ready, quiet, draining or restarting"]
    generation: Annotated[int, "the configuration it started with"]
    busy: Annotated[int, "jobs it runs"]
    uptime_s: float
    memory_bytes: int
    jobs_done: int
    restarts: int
    jobs: list[RunningJob]
    why: Annotated[str | None, "what is wrong with it, in a few words; null when nothing is"]


class WorkerList(TypedDict):
    """The workers of this host."""

    workers: list[Worker]


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
