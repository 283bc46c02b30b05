"""The producer's side of a queue, for asyncio: the same names as queue.py, awaited."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeVar

from jobd.client.async_queue_maintenance import AsyncQueueUpkeep
from jobd.client.producer import Producer, check_added, check_kind, finish, lost_add, timed_out
from jobd.client.tracing import producing
from jobd.clock import SYSTEM_CLOCK
from jobd.duration import to_ms
from jobd.engine.adding import BATCH, add_flow, add_job, add_jobs
from jobd.engine.options import new_job
from jobd.engine.runner import AsyncRunner
from jobd.errors import RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    import redis.asyncio

    from jobd.client.events import QueueEvent
    from jobd.client.flow import Flow, FlowHandle
    from jobd.client.schedules import ScheduledOptions
    from jobd.engine.add_options import AddOptions
    from jobd.engine.iterations import Iteration
    from jobd.engine.job import JobRecord, Taken
    from jobd.engine.new_job import Added
    from jobd.engine.runner import Steps
    from jobd.engine.schedulers import Scheduler

T = TypeVar("T")


class AsyncJobHandle:
    """A job that was added, as JobHandle; `wait` is awaited."""

    __slots__ = ("_event_id", "_queue", "deduplicated", "duplicate", "id")

    def __init__(self, queue: AsyncQueue, added: Added) -> None:
        self._queue = queue
        self._event_id = added.event_id
        self.id: str = added.job_id
        self.duplicate: bool = added.duplicate
        self.deduplicated: bool = added.deduplicated

    def __repr__(self) -> str:
        return f"AsyncJobHandle({self._queue.name!r}, {self.id!r})"

    @property
    def key(self) -> str:
        """Key of its hash in Redis (`prefix:queue:id`), by which a parent knows its children."""
        return self._queue.keys.job(self.id)

    async def wait(self, timeout: str | float | None = None) -> Any:  # noqa: ASYNC109 - the same call as JobHandle's
        """Return the job's result, as JobHandle.wait."""
        return await self._queue.wait_for(self, timeout)


class AsyncQueue(Producer, AsyncQueueUpkeep):
    """As Queue, for asyncio: `async with AsyncQueue("email") as queue`. Each event loop gets its own connections."""

    _loop: _Loop | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of this event loop; waits under way end with an error. Twice is harmless."""
        queues: list[AsyncQueue] = [self, *self._beside.values()]
        for queue in queues:
            if queue._loop is not None and queue._loop.is_current():
                await queue._loop.close()
                queue._loop = None

    def _start(self) -> None:
        self._loop = None

    def _check_connection(self, connection: Any) -> None:
        import redis.asyncio

        check_kind(connection, redis.asyncio.Redis, redis.asyncio.ConnectionPool, "redis.asyncio.Redis")

    async def add(self, name: str, data: Any = {}, **options: Unpack[AddOptions]) -> AsyncJobHandle:  # noqa: B006 - never changed
        """Add a job, as Queue.add."""
        job = new_job(name, data, options, now_ms=SYSTEM_CLOCK.now_ms(), prefix=self.keys.prefix)
        with producing("add", self.name, [job]) as sent:
            try:
                added = await self._live().runner.run(add_job(self.keys, job))
            except RedisUnavailable as error:
                raise lost_add(error) from None
            if sent is not None:
                sent.added(added.job_id)
            return AsyncJobHandle(self, check_added(added, job))

    async def add_many(self, jobs: Iterable[Sequence[Any]]) -> list[AsyncJobHandle]:
        """Add jobs given as (name, data) or (name, data, {options}), as Queue.add_many."""
        built = self.build_many(jobs)
        runner = self._live().runner
        done: list[Added] = []
        with producing("add_many", self.name, built):
            try:
                for start in range(0, len(built), BATCH):
                    batch = await runner.run(add_jobs(self.keys, built[start : start + BATCH]))
                    done += batch
            except RedisUnavailable as error:
                raise lost_add(error, f" ({len(done)} of {len(built)} are in)") from None
            return [AsyncJobHandle(self, check_added(one, job)) for one, job in zip(done, built, strict=True)]

    async def add_flow(self, flow: Flow) -> FlowHandle[AsyncJobHandle]:
        """Add a tree of jobs in one step, as Queue.add_flow."""
        from jobd.client.flow import FlowHandle, flow_jobs

        now_ms = SYSTEM_CLOCK.now_ms()
        nodes = flow_jobs(flow, self.keys, now_ms=now_ms)
        with producing("add_flow", nodes[0].keys.queue, [node.job for node in nodes]):
            try:
                done = await self._live().runner.run(add_flow([(node.keys, node.job) for node in nodes], now_ms))
            except RedisUnavailable as error:
                raise lost_add(error) from None
            check_added(done[0], nodes[0].job)

        def handle(place: int) -> FlowHandle[AsyncJobHandle]:
            node, added = nodes[place], done[place]
            job = AsyncJobHandle(self.beside(node.keys), added)
            return FlowHandle(job, [handle(child) for child in node.children], added.code != 0)

        return handle(0)

    async def get(self, job_id: str) -> JobRecord | None:
        """Return the job as it lies in Redis, None when there is none."""
        from jobd.engine.reading import get_job

        return await self._live().runner.run(get_job(self.keys, job_id))

    async def children_values(self, job_id: str) -> dict[str, Any]:
        """Return the results of a parent's completed children, by their keys (`prefix:queue:id`)."""
        from jobd.engine.reading import children_values

        return await self._live().runner.run(children_values(self.keys, job_id))

    async def ignored_children_failures(self, job_id: str) -> dict[str, str]:
        """Return why children failed whose failure does not matter to this parent, by their keys."""
        from jobd.engine.reading import ignored_failures

        return await self._live().runner.run(ignored_failures(self.keys, job_id))

    async def schedule(
        self,
        id: str,  # noqa: A002 - as Queue.schedule
        name: str | None = None,
        data: Any = {},  # noqa: B006 - never changed
        **options: Unpack[ScheduledOptions],
    ) -> str | None:
        """Make a schedule or change it, as Queue.schedule."""
        from jobd.client.schedules import schedule_command, scheduled

        command = schedule_command(self.keys, id, name, data, options)
        return None if command is None else scheduled(id, await self._live().runner.run(command))

    async def unschedule(self, id: str) -> bool:  # noqa: A002 - the name of the argument of schedule
        """Remove a schedule, as Queue.unschedule."""
        from jobd.engine.schedulers import remove_scheduler

        return await self._live().runner.run(remove_scheduler(self.keys, id)) == 1

    async def schedules(self) -> list[Scheduler]:
        """Return the queue's schedules, as Queue.schedules."""
        from jobd.engine.schedulers import list_schedulers

        return await self._live().runner.run(list_schedulers(self.keys))

    async def get_schedule(self, id: str) -> Scheduler | None:  # noqa: A002 - as schedule
        """Return one schedule, as Queue.get_schedule."""
        from jobd.engine.schedulers import list_schedulers

        found = await self._live().runner.run(list_schedulers(self.keys, id))
        return found[0] if found else None

    async def next_iteration(self, taken: Taken, *, now_ms: int, chance: float) -> Iteration:
        """Make the iteration after a scheduler's job that a worker has taken (engine.schedulers.next_iteration)."""
        from jobd.engine.iterations import next_iteration

        return await self._live().runner.run(next_iteration(self.keys, taken, now_ms=now_ms, chance=chance))

    async def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state, as Queue.counts."""
        from jobd.engine.reading import queue_facts

        return (await self._live().runner.run(queue_facts(self.keys))).counts

    async def wait_for(self, job: AsyncJobHandle, timeout: str | float | None = None) -> Any:  # noqa: ASYNC109 - as wait
        """As job.wait(timeout)."""
        waiting = self._live().watcher.wait(job.id, job._event_id)
        try:
            async with asyncio.timeout(None if timeout is None else to_ms(timeout) / 1000):
                ending = await waiting
        except TimeoutError:
            raise timed_out(job.id, timeout) from None
        return finish(job.id, ending)

    def handle(self, job_id: str) -> AsyncJobHandle:
        """Return a handle of a job that exists, to wait for it; nothing is asked of Redis."""
        from jobd.engine.new_job import Added

        return AsyncJobHandle(self, Added(job_id, "0-0", False, False))

    def events(
        self,
        *names: str,
        job: AsyncJobHandle | str | None = None,
        after: str | None = None,
        timeout: str | float | None = None,
    ) -> AsyncIterator[QueueEvent]:
        """As Queue.events, for `async for`; "now" is when the first one is asked for."""
        from jobd.client.events import Reading, follow_async

        live = self._live()

        def runner() -> AsyncRunner | None:
            return live.runner if self._loop is live else None

        return follow_async(Reading(self.keys, names, job, after), runner, timeout, self.block_ms)

    async def _run(self, steps: Steps[T]) -> T:
        return await self._live().runner.run_steps(steps)

    def _live(self) -> _Loop:
        # A connection lives on one loop of one process; another loop, or a forked child, starts afresh.
        if self._loop is None or not self._loop.is_current():
            self._loop = _Loop(self)
        return self._loop


class _Loop:
    """What a queue object holds on one event loop."""

    def __init__(self, queue: AsyncQueue) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.get_running_loop()
        self.is_ours = queue._connection is None
        self.client = _client_of(queue)
        self.runner = AsyncRunner(self.client)
        from jobd.client.async_watcher import AsyncWatcher

        self.watcher = AsyncWatcher(self.runner, queue.keys, queue.block_ms)

    def is_current(self) -> bool:
        return self.pid == os.getpid() and self.loop is asyncio.get_running_loop()

    async def close(self) -> None:
        await self.watcher.close()
        if self.is_ours:
            await self.client.aclose()


def _client_of(queue: AsyncQueue) -> redis.asyncio.Redis:
    import redis.asyncio

    given = queue._connection
    if given is None:
        from jobd.engine.connect import async_client

        return async_client(queue.source, key=queue.keys.base, answer_limit_s=queue.answer_limit_s)
    return given if isinstance(given, redis.asyncio.Redis) else redis.asyncio.Redis(connection_pool=given)
