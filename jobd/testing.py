"""Try handlers in tests: no Redis, no daemon, and the worker's own binding, wraps, limits and outcomes.

from jobd.testing import run

def test_welcome() -> None:
    done = run("shop.mail:send", {"userId": 7}, name="welcome")
    assert (done.outcome, done.result) == ("completed", {"sent": 7})
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jobd.engine.job import Keep
from jobd.errors import InputError, NotThere, Unrecoverable
from jobd.protocol.worker import HandlerSpec, Numbers
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.on_failed import load_on_failed
from jobd.worker.handlers.wraps import load_wraps
from jobd.worker.run.alone import Added, Alone, Ending, taken_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobd.worker.handlers.on_failed import OnFailed
    from jobd.worker.handlers.wraps import Wrap

__all__ = ["Added", "Done", "run"]


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

    def added(self, job: Added) -> None:
        self._done.added.append(job)


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
    done = Done(data={} if data is None else data)
    stored = {"data": done.data, "opts": dict(opts or {}), "attempts_made": attempt - 1}
    alone = Alone(numbers, policies, queue or "test", _Notes(done))
    ending = _outside_of_loops(lambda: alone.run(taken_of(name, stored)))
    done.outcome, done.delay_s, done.error = ending.outcome, ending.delay_ms / 1000, ending.error
    if ending.outcome == "completed":
        done.result = json.loads(ending.value)
    elif done.error is None:
        done.error = Unrecoverable(ending.value.decode())
    return done


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
    from jobd.daemon.processes.worker_spec import numbers_of

    config = load()
    found = config.queues.get(queue)
    if found is None:
        raise NotThere("queue", queue, known=sorted(config.queues))
    sys.path[:0] = [str(folder) for folder in found.path if str(folder) not in sys.path]
    numbers, wraps, on_failed = numbers_of(found), load_wraps(found.wrap), load_on_failed(found.on_failed)
    if handler is None:
        return numbers, JobPolicies(numbers, wraps, on_failed)
    return _of_handler(numbers, handler, wraps, on_failed)


def _outside_of_loops(call: Callable[[], Ending]) -> Ending:
    """Call where no event loop runs: in an `async def` test, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    endings: list[Ending | BaseException] = []

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
