"""Run one attempt of one job in a test."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from jobd.engine.job import Keep
from jobd.errors import InputError, NotThere, Unrecoverable
from jobd.protocol.board import SLOTS
from jobd.protocol.worker import HandlerSpec, Numbers
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.on_failed import load_on_failed
from jobd.worker.handlers.wraps import load_wraps
from jobd.worker.run.single_attempt import Added, Ending, SingleAttempt, added_of, taken_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobd.config.model import Queue
    from jobd.engine.new_job import NewJob
    from jobd.worker.handlers.on_failed import OnFailed
    from jobd.worker.handlers.wraps import Wrap

T = TypeVar("T")


@dataclass(slots=True)
class Done:
    """How one attempt ended, and what its handler wrote.

    `outcome`: completed, retry, failed, delayed, rate_limited or waiting_children. `error` is what was raised; for a
    job that was refused before its handler an Unrecoverable with the reason. `delay_s` is when it would run again.
    """

    outcome: str = ""
    result: Any = None
    error: BaseException | None = None
    delay_s: float = 0.0
    progress: list[Any] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    data: Any = None
    added: list[Added] = field(default_factory=list)
    id: str = ""
    queue: str = ""
    name: str = ""

    def take(self, ending: Ending) -> None:
        """Take over how the attempt ended."""
        self.outcome, self.delay_s, self.error = ending.outcome, ending.delay_ms / 1000, ending.error
        if ending.outcome == "completed":
            self.result = json.loads(ending.value)
        elif self.error is None:
            self.error = Unrecoverable(ending.value.decode())


class _Notes:
    """Writes what the handler does into a Done."""

    def __init__(self, done: Done) -> None:
        self._done = done

    def progressed(self, value: bytes) -> None:
        self._done.progress.append(json.loads(value))

    def logged(self, line: str) -> None:
        self._done.logs.append(line)

    def data_changed(self, data: bytes) -> None:
        self._done.data = json.loads(data)

    def add(self, queue: str, new: NewJob) -> Added:
        added = added_of(queue, new)
        self._done.added.append(added)
        return added

    def children_values(self) -> dict[str, Any]:
        return {}

    def ignored_children_failures(self) -> dict[str, str]:
        return {}


def run(
    handler: str | Callable[..., Any] | None = None,
    data: Any = None,
    *,
    queue: str | None = None,
    name: str = "",
    attempt: int = 1,
    opts: Mapping[str, Any] | None = None,
) -> Done:
    """Run one attempt of a job here and return how it ended; what the handler raises is in it, not raised.

    Args:
        handler: "module:function" or the function; None takes the queue's handler for `name`.
        data: Any JSON value; None stands for {}.
        queue: A queue of jobd.toml, whose settings then hold (needs the daemon extra); setup and teardown are not run.
        attempt: Which one it is, from 1.
        opts: As BullMQ stores them: `{"attempts": 3}`.
    Raises:
        InputError, HandlerError, NotThere: what is to be run is not given, cannot be loaded, is not in the file.
    """
    if attempt < 1:
        raise InputError("attempt: the first one is 1")
    if queue is not None:
        numbers, policies = _of_queue(queue, handler)
    elif handler is not None:
        numbers, policies = _of_handler(_BARE, handler, [], None)
    else:
        raise InputError("give a handler, or a queue of jobd.toml")
    done = Done(data={} if data is None else data, id="1", queue=queue or "test", name=name)
    stored = {"data": done.data, "opts": dict(opts or {}), "attempts_made": attempt - 1}
    alone = SingleAttempt(numbers, policies, done.queue, _Notes(done))
    done.take(outside_of_loops(lambda: alone.run(taken_of(name, stored))))
    return done


def run_batch(
    handler: str | Callable[..., Any] | None = None,
    data: Sequence[Any] = (),
    *,
    queue: str | None = None,
    name: str = "",
    attempt: int = 1,
    opts: Mapping[str, Any] | None = None,
) -> list[Done]:
    """Run one attempt of a batch here: the handler gets a list with a job for each entry of `data`.

    Returns how each ended, in their order. With a queue whose `batch` says less it is called several times.
    Otherwise as `run`.
    """
    if attempt < 1:
        raise InputError("attempt: the first one is 1")
    if queue is not None:
        numbers, policies = _of_queue(queue, handler)
        if numbers.batch_max is None:
            raise InputError(f'queue "{queue}" has no `batch` in jobd.toml')
    elif handler is not None:
        most = max(1, min(len(data), SLOTS))
        numbers, policies = _of_handler(replace(_BARE, batch_max=most), handler, [], None)
    else:
        raise InputError("give a handler, or a queue of jobd.toml")
    dones = [
        Done(data={} if each is None else each, id=str(number), queue=queue or "test", name=name)
        for number, each in enumerate(data, 1)
    ]
    batch = []
    for done in dones:
        stored = {"id": done.id, "data": done.data, "opts": dict(opts or {}), "attempts_made": attempt - 1}
        batch.append((taken_of(name, stored), _Notes(done)))
    alone = SingleAttempt(numbers, policies, queue or "test", _Notes(Done()))
    endings = outside_of_loops(lambda: alone.run_batch(batch)) if batch else []
    for done, ending in zip(dones, endings, strict=True):
        done.take(ending)
    return dones


_BARE = Numbers(
    concurrency=1, lock_ms=30_000, keep_completed=Keep(), keep_failed=Keep(), limiter_max=None,
    limiter_duration_ms=None, unknown="fail", default=None, jobs={},
)  # fmt: skip
"""A queue about which no file says anything."""


def _of_handler(
    numbers: Numbers, handler: str | Callable[..., Any], wraps: list[Wrap], on_failed: OnFailed | None
) -> tuple[Numbers, JobPolicies]:
    """Return these numbers with one handler for every name."""
    spec = numbers.default or HandlerSpec("")
    if isinstance(handler, str):
        numbers = replace(numbers, default=replace(spec, path=handler), jobs={})
        return numbers, JobPolicies(numbers, wraps, on_failed)
    kind = type(handler)
    spec = replace(spec, path=f"{handler.__module__}:{getattr(handler, '__qualname__', kind.__qualname__)}")
    return numbers, JobPolicies.for_function(numbers, spec, handler, wraps, on_failed)


def _of_queue(queue: str, handler: str | Callable[..., Any] | None) -> tuple[Numbers, JobPolicies]:
    from jobd.config.load import load

    config = load()
    found = config.queues.get(queue)
    if found is None:
        raise NotThere("queue", queue, known=sorted(config.queues))
    return policies_of(found, handler)


def policies_of(queue: Queue, handler: str | Callable[..., Any] | None = None) -> tuple[Numbers, JobPolicies]:
    """Return what a worker of this queue runs, its `path` on sys.path from now on; `handler` takes every name then."""
    from jobd.daemon.processes.worker_spec import numbers_of

    sys.path[:0] = [str(folder) for folder in queue.path if str(folder) not in sys.path]
    numbers, wraps, on_failed = numbers_of(queue), load_wraps(queue.wrap), load_on_failed(queue.on_failed)
    if handler is None:
        return numbers, JobPolicies(numbers, wraps, on_failed)
    return _of_handler(numbers, handler, wraps, on_failed)


def outside_of_loops(call: Callable[[], T]) -> T:
    """Call where no event loop runs: in an `async def` test, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    endings: list[T | BaseException] = []

    def work() -> None:
        try:
            endings.append(call())
        except BaseException as error:
            endings.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="jobd-testing")
    thread.start()
    thread.join()
    if isinstance(endings[0], BaseException):
        raise endings[0]
    return endings[0]
