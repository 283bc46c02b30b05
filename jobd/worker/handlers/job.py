"""What a handler gets: the job it runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from jobd.worker.handlers.payload import bounded, data_of, options_of, to_json

if TYPE_CHECKING:
    from typing import Unpack

    from jobd.engine.add_options import AddOptions
    from jobd.engine.job import Taken

_UNREAD = object()

current: ContextVar[Job | None] = ContextVar("jobd_current_job", default=None)
"""The job that the handler around this code runs."""


def current_job() -> Job | None:
    """Return the job that is being run, also in functions that its handler calls; None outside of one."""
    return current.get()


class Sink(Protocol):
    """Where a job's notes go; every method may be called from any thread and returns at once."""

    stopping: bool
    worker: int

    def progressed(self, job: Job, value: bytes) -> None:
        """Keep a progress value (JSON)."""
        ...

    def logged(self, job: Job, line: str) -> None:
        """Keep a log line."""
        ...

    def data_changed(self, job: Job, data: bytes) -> None:
        """Keep new data (JSON)."""
        ...

    def add(self, queue: str, name: str, data: Any, options: AddOptions) -> Any:
        """Add a job to a queue: its handle, or an awaitable of it on the worker's event loop."""
        ...

    def children_values(self, job: Job) -> Any:
        """Read the results of the job's children: the table, or an awaitable of it on the worker's event loop."""
        ...

    def ignored_children_failures(self, job: Job) -> Any:
        """Read why children failed that the job goes on without, as children_values."""
        ...


class Job:
    """One attempt of one job.

    `attempt` is 1 for the first; `attempts` the most there will be. `timestamp` is when the job was made, ms since
    1970. `priority` 0 means none. `parent_key` names the parent of a flow's child. `deadline` is when `timeout` is over
    (time.monotonic() seconds), None without one.
    """

    __slots__ = ("_data", "_opts", "_sink", "attempt", "attempts", "deadline", "id", "name", "queue", "taken")

    def __init__(self, taken: Taken, queue: str, attempts: int, sink: Sink) -> None:
        self.taken = taken
        self._sink = sink
        self._data: Any = _UNREAD
        self._opts: dict[str, Any] | None = None
        self.id: str = taken.id
        self.name: str = taken.name or ""
        self.queue: str = queue
        self.attempt: int = taken.attempts_made + 1
        self.attempts: int = attempts
        self.deadline: float | None = None

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, name={self.name!r}, queue={self.queue!r}, attempt={self.attempt})"

    @property
    def data(self) -> Any:
        """What the producer sent: any JSON value.

        Raises:
            Unrecoverable: the text in Redis is not JSON (a worker fails such a job before its handler runs).
        """
        if self._data is _UNREAD:
            self._data = data_of(self.taken.data)
        return self._data

    @property
    def opts(self) -> dict[str, Any]:
        """The options as BullMQ stores them (`attempts`, `backoff`, `de`, `kl`, …)."""
        if self._opts is None:
            self._opts = options_of(self.taken.opts)
        return self._opts

    @property
    def timestamp(self) -> int:
        """When the job was made, ms since 1970."""
        return self.taken.timestamp

    @property
    def priority(self) -> int:
        """Its priority: 1 runs first, larger later; 0 none."""
        return self.taken.priority

    @property
    def parent_key(self) -> str | None:
        """The parent's key, for a child of a flow."""
        return self.taken.parent_key

    @property
    def stopping(self) -> bool:
        """Whether this worker drains: a long handler may wish to end early."""
        return self._sink.stopping

    @property
    def worker(self) -> int:
        """The number of the worker that runs it, from 0; a restarted worker keeps its number."""
        return self._sink.worker

    def progress(self, value: Any) -> None:
        """Report progress: any JSON value. It reaches Redis in order, before the job finishes.

        Raises:
            NotJson: it is no JSON value; uncaught, this fails the attempt.
        """
        self._sink.progressed(self, to_json(value, "progress"))

    def log(self, line: object) -> None:
        """Add a line to the job's log. It reaches Redis in order, before the job finishes.

        Of more than 64 kB, head and tail are kept, with a mark between them.
        """
        self._sink.logged(self, bounded(str(line)))

    def update_data(self, data: Any) -> None:
        """Replace the job's data, in Redis and here. It reaches Redis in order, before the job finishes.

        Raises:
            NotJson: it is no JSON value; uncaught, this fails the attempt.
        """
        encoded = to_json(data, "data")
        self._data = data
        self._sink.data_changed(self, encoded)

    def add(self, queue: str, name: str, data: Any = {}, **options: Unpack[AddOptions]) -> Any:  # noqa: B006 - never changed
        """Add a job to a queue on the daemon's own Redis, as `Queue(queue).add(name, data, …)` does.

        With `parent=job` it becomes a child of this one: raise WaitForChildren then, to run again when they are done.
        In a `def` handler this returns the job's handle, in an `async def` it is awaited: `await job.add(…)`.

        Raises:
            As Queue.add.
        """
        return self._sink.add(queue, name, data, options)

    def children_values(self) -> Any:
        """Return the results of this job's completed children, by their keys (`prefix:queue:id`).

        In a `def` handler this returns the table, in an `async def` it is awaited: `await job.children_values()`.
        """
        return self._sink.children_values(self)

    def ignored_children_failures(self) -> Any:
        """Return the reasons of children whose failure does not matter (`if_failed` "ignore", "continue"), by key.

        Called and awaited as children_values.
        """
        return self._sink.ignored_children_failures(self)
