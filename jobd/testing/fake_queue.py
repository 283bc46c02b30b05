"""FakeQueue: every Queue and AsyncQueue writes to memory, and the handlers of jobd.toml run when a test says so."""

from __future__ import annotations

import contextlib
import json
from functools import wraps
from typing import TYPE_CHECKING, Any

from jobd.client.producer import Producer, check_added, timed_out
from jobd.engine.new_job import Added as Outcome
from jobd.engine.options import new_job
from jobd.engine.reading import COUNTED
from jobd.engine.states import State
from jobd.errors import InputError, JobFailed, NotThere
from jobd.testing.memory import Memory
from jobd.testing.running import Done, outside_of_loops, policies_of
from jobd.worker.run.single_attempt import SingleAttempt, added_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from jobd.client import AsyncQueue, Flow, Queue
    from jobd.client.flow import FlowHandle
    from jobd.config.model import Config
    from jobd.engine.job import JobRecord
    from jobd.engine.new_job import NewJob
    from jobd.engine.runner import Steps
    from jobd.engine.schedulers import Scheduler
    from jobd.protocol.worker import Numbers
    from jobd.testing.memory import MemoryJob
    from jobd.worker.handlers.job_policy import JobPolicies
    from jobd.worker.run.single_attempt import Added

MOST_RUNS = 10_000
"""Runs of one drain: a handler that always asks to be run later would go on for ever."""


class FakeQueue:
    """The queues in memory. `added["email"]`: every job added to that queue so far, in order, run or not."""

    def __init__(self, config: str | Path | None = None) -> None:
        self._config_path = config
        self._memory = Memory()
        self._added: dict[str, list[Added]] = {}
        self._policies: dict[str, tuple[Numbers, JobPolicies]] = {}
        self._schedules: dict[tuple[str, str], Scheduler] = {}

    @classmethod
    @contextlib.contextmanager
    def patch(cls, config: str | Path | None = None) -> Iterator[FakeQueue]:
        """Have every Queue and AsyncQueue of this process write to memory until the end of the block.

        Those made before it, too; a new one needs no Redis and no file. `config` is the jobd.toml whose handlers
        `drain` runs, found as by `jobd run` when it is None.
        """
        from jobd.client import AsyncQueue, Queue

        fake = cls(config)
        before = Producer.is_in_memory
        with contextlib.ExitStack() as undo:
            Producer.is_in_memory = True
            undo.callback(setattr, Producer, "is_in_memory", before)
            for name, method in fake._methods().items():
                awaited = _called if name == "events" else _awaited  # it gives an iterator, for `async for`
                for kind, made in ((Queue, _called(method)), (AsyncQueue, awaited(method))):
                    undo.callback(setattr, kind, name, getattr(kind, name))
                    setattr(kind, name, made)
            yield fake

    def __getitem__(self, queue: str) -> list[Added]:
        return list(self._added.get(queue, ()))

    def drain(self) -> list[Done]:
        """Run the handlers of jobd.toml on the jobs in memory until nothing is due, and return how each run ended.

        Time moves forward by itself: a delayed job and a retry run at once. What handlers add runs, too. Jobs of
        queues that the file does not have stay where they are; `setup` and `teardown` are not called.

        Raises:
            InputError: after 10,000 runs there is still something due.
            ConfigError: no file, or a wrong one. HandlerError: a handler cannot be loaded.
        """
        from jobd.config.load import load

        config = load(self._config_path)
        done: list[Done] = []
        while (job := self._memory.take(config.queues)) is not None:
            if len(done) == MOST_RUNS:
                raise InputError(f"drain: {MOST_RUNS} runs and still jobs that are due, the next is {job.key}")
            done.append(self._run(config, job))
        return done

    def _run(self, config: Config, job: MemoryJob) -> Done:
        from jobd.worker.run.wording import trace_of

        queue = job.keys.queue
        if queue not in self._policies:
            self._policies[queue] = policies_of(config.queues[queue])
        numbers, policies = self._policies[queue]
        done = Done(id=job.id, queue=queue, name=job.new.name, data=json.loads(job.data))
        alone = SingleAttempt(numbers, policies, queue, _Notes(self, job, done))
        ending = outside_of_loops(lambda: alone.run(job.taken(), now_ms=self._memory.now_ms))
        done.take(ending)
        self._memory.finish(job, ending, lambda: trace_of(done.error) if done.error else ending.value.decode())
        return done

    # --- what Queue and AsyncQueue do instead ------------------------------------------------------------------------

    def _methods(self) -> dict[str, Callable[..., Any]]:
        """Return what stands in for the methods of a queue object."""
        return {
            "add": self._add, "add_many": self._add_many, "add_flow": self._add_flow, "get": self._get,
            "counts": self._counts, "children_values": self._children_values,
            "ignored_children_failures": self._ignored, "wait_for": self._wait_for, "close": self._close,
            "schedule": self._schedule, "unschedule": self._unschedule, "schedules": self._all_schedules,
            "get_schedule": self._get_schedule, "events": self._events, "_run": self._upkeep,
        }  # fmt: skip

    def _add(self, queue: Any, name: str, data: Any = {}, **options: Any) -> Any:  # noqa: B006 - never changed
        new = new_job(name, data, options, now_ms=self._memory.now_ms, prefix=queue.keys.prefix)
        return self._handle(queue, check_added(self._store(queue.keys, new), new))

    def _add_many(self, queue: Any, jobs: Iterable[Sequence[Any]]) -> list[Any]:
        built = queue.build_many(jobs)
        return [self._handle(queue, check_added(self._store(queue.keys, new), new)) for new in built]

    def _add_flow(self, queue: Any, flow: Flow) -> FlowHandle[Any]:
        from jobd.client.flow import FlowHandle, flow_jobs

        nodes = flow_jobs(flow, queue.keys, now_ms=self._memory.now_ms)
        done = [self._store(node.keys, node.job) for node in nodes]
        check_added(done[0], nodes[0].job)

        def handle(place: int) -> FlowHandle[Any]:
            node = nodes[place]
            job = self._handle(queue.beside(node.keys), done[place])
            return FlowHandle(job, [handle(child) for child in node.children], done[place].code != 0)

        return handle(0)

    def _get(self, queue: Any, job_id: str) -> JobRecord | None:
        job = self._memory.find(queue.name, job_id)
        return job.record() if job else None

    def _counts(self, queue: Any) -> dict[str, int]:
        return self._memory.counts(queue.name, COUNTED)

    def _children_values(self, queue: Any, job_id: str) -> dict[str, Any]:
        job = self._memory.find(queue.name, job_id)
        return dict(job.values) if job else {}

    def _ignored(self, queue: Any, job_id: str) -> dict[str, str]:
        job = self._memory.find(queue.name, job_id)
        return dict(job.ignored) if job else {}

    def _wait_for(self, queue: Any, handle: Any, timeout: str | float | None = None) -> Any:
        """Nobody else runs the job while a test waits: what is due runs now."""
        job = self._memory.find(queue.name, handle.id)
        if job is None:
            raise NotThere("job", handle.id)
        if not job.is_over:
            self.drain()
        if job.state is State.COMPLETED:
            return job.result
        if job.state is State.FAILED:
            raise JobFailed(job.id, job.failed_reason or "")
        raise timed_out(job.id, timeout)

    def _close(self, queue: Any) -> None:
        """Nothing is open."""

    def _schedule(self, queue: Any, id: str, name: str | None = None, data: Any = {}, **options: Any) -> str:  # noqa: A002, B006
        """Keep it; it makes no jobs here, or a drain would never end."""
        from jobd.client.schedules import read_schedule
        from jobd.engine.schedulers import Scheduler

        repeat, template = read_schedule(id, name, data, options, self._memory.now_ms)
        self._schedules[queue.name, id] = Scheduler(id, repeat, template, 0, None)
        return f"repeat:{id}:0"

    def _unschedule(self, queue: Any, id: str) -> bool:  # noqa: A002
        return self._schedules.pop((queue.name, id), None) is not None

    def _all_schedules(self, queue: Any) -> list[Scheduler]:
        return [schedule for (name, _), schedule in self._schedules.items() if name == queue.name]

    def _get_schedule(self, queue: Any, id: str) -> Scheduler | None:  # noqa: A002
        return self._schedules.get((queue.name, id))

    def _upkeep(self, queue: Any, steps: Steps[Any]) -> Any:
        """Refuse what is done to queues and jobs by hand: all of it goes through here."""
        steps.close()
        raise InputError(f"a FakeQueue has no maintenance (retry, clean, jobs, …): use jobd_daemon for {queue.name}")

    def _events(self, queue: Any, *names: str, **options: Any) -> Any:
        """Refuse: nothing happens in memory that somebody could wait for."""
        raise InputError(f"a FakeQueue has no events: use jobd_daemon for {queue.name}")

    def _store(self, keys: Any, new: NewJob) -> Outcome:
        outcome, job = self._memory.add(keys, new)
        if job is not None:
            self._added.setdefault(keys.queue, []).append(added_of(keys.queue, new, job.id))
        return outcome

    def _handle(self, queue: Queue | AsyncQueue, added: Outcome) -> Any:
        from jobd.client import AsyncJobHandle, AsyncQueue, JobHandle

        return AsyncJobHandle(queue, added) if isinstance(queue, AsyncQueue) else JobHandle(queue, added)


class _Notes:
    """What the handler of one run writes goes into its Done and into memory."""

    def __init__(self, fake: FakeQueue, job: MemoryJob, done: Done) -> None:
        self._fake = fake
        self._job = job
        self._done = done

    def progressed(self, value: bytes) -> None:
        self._job.progress = json.loads(value)
        self._done.progress.append(self._job.progress)

    def logged(self, line: str) -> None:
        self._done.logs.append(line)

    def data_changed(self, data: bytes) -> None:
        self._job.data = data
        self._done.data = json.loads(data)

    def add(self, queue: str, new: NewJob) -> Any:
        from jobd.client import Queue

        to = Queue(queue, prefix=self._job.keys.prefix)
        added = check_added(self._fake._store(to.keys, new), new)
        self._done.added.append(added_of(queue, new, added.job_id))
        return self._fake._handle(to, added)

    def children_values(self) -> dict[str, Any]:
        return dict(self._job.values)

    def ignored_children_failures(self) -> dict[str, str]:
        return dict(self._job.ignored)


def _called(method: Callable[..., Any]) -> Callable[..., Any]:
    # A plain function: a bound method in a class would not be given the object it is called on.
    @wraps(method)
    def called(queue: Any, *args: Any, **kwargs: Any) -> Any:
        return method(queue, *args, **kwargs)

    return called


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def awaited(queue: Any, *args: Any, **kwargs: Any) -> Any:
        return method(queue, *args, **kwargs)

    return awaited
