"""The producer's side of a queue, for plain code: thread-safe, and safe to use in a forked child."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from jobd.client.producer import Producer, check_added, check_kind, finish, lost_add, timed_out
from jobd.client.queue_maintenance import QueueUpkeep
from jobd.client.tracing import producing
from jobd.clock import SYSTEM_CLOCK
from jobd.duration import to_ms
from jobd.engine.adding import BATCH, add_flow, add_job, add_jobs
from jobd.engine.options import new_job
from jobd.engine.runner import SyncRunner
from jobd.engine.scripts import script
from jobd.errors import RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self, Unpack

    import redis

    from jobd.client.events import QueueEvent
    from jobd.client.flow import Flow, FlowHandle
    from jobd.client.schedules import ScheduledOptions
    from jobd.client.watcher import Watcher
    from jobd.engine.add_options import AddOptions
    from jobd.engine.job import JobRecord
    from jobd.engine.new_job import Added
    from jobd.engine.runner import Steps
    from jobd.engine.schedulers import Scheduler

T = TypeVar("T")


class JobHandle:
    """A job that was added. `duplicate`: the id existed, nothing was added. `deduplicated`: `id` is the owner's."""

    __slots__ = ("_event_id", "_queue", "deduplicated", "duplicate", "id")

    def __init__(self, queue: Queue, added: Added) -> None:
        self._queue = queue
        self._event_id = added.event_id
        self.id: str = added.job_id
        self.duplicate: bool = added.duplicate
        self.deduplicated: bool = added.deduplicated

    def __repr__(self) -> str:
        return f"JobHandle({self._queue.name!r}, {self.id!r})"

    @property
    def key(self) -> str:
        """Key of its hash in Redis (`prefix:queue:id`), by which a parent knows its children."""
        return self._queue.keys.job(self.id)

    def wait(self, timeout: str | float | None = None) -> Any:
        """Return the job's result; `timeout` is "10s" or seconds, None waits for ever.

        Raises:
            JobFailed: the job failed for good; `reason` says why.
            TimeoutError: it has not finished; it goes on, and waiting again is fine.
            NotThere: it was removed.
            RedisUnavailable: the connection failed; waiting again is fine.
        """
        return self._queue.wait_for(self, timeout)


class Queue(Producer, QueueUpkeep):
    """One queue as producers see it: `Queue("email")`, or `Queue("email", url=…, prefix=…)`.

    Which Redis: `connection`, `url`, else $JOBD_REDIS_URL, else the file. Connections open when they are needed;
    `close` them, or use `with`. `answer_limit` is how long an add waits for Redis.

    Args:
        connection: The application's own `redis.Redis` (or its pool), whatever its options. It stays the
            application's: `close` leaves it open, and its `socket_timeout` is how long an add waits. An add is sent
            once through it, too, whatever its `retry` says.
    Raises:
        InputError: the name cannot be a queue's, the connection is of another kind.
        NoRedisConfigured: nothing says which Redis.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        prefix: str | None = None,
        config: str | Path | None = None,
        answer_limit: str | float = "5s",
        connection: redis.Redis | redis.ConnectionPool | None = None,
    ) -> None:
        super().__init__(name, url=url, prefix=prefix, config=config, answer_limit=answer_limit, connection=connection)
        self._start()

    def _check_connection(self, connection: Any) -> None:
        import redis

        check_kind(connection, redis.Redis, redis.ConnectionPool, "redis.Redis")

    _process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of this process; waits under way end with an error. Twice is harmless."""
        self._live().close()
        for other in self._beside.values():
            other._live().close()

    def _start(self) -> None:
        self._process = None if self.is_in_memory else _Process(self)

    def add(self, name: str, data: Any = {}, **options: Unpack[AddOptions]) -> JobHandle:  # noqa: B006 - never changed
        """Add a job; see AddOptions for what else may be said about it.

        Raises:
            InputError: something is wrong with it; nothing was written.
            RedisUnavailable: no answer; it is not sent again. `may_have_run` False: it was not added, because no
                connection was there to send it on; else whether it was added is unknown.
            RedisRefused: Redis said no (memory full, read-only); it was not added.
        """
        job = new_job(name, data, options, now_ms=SYSTEM_CLOCK.now_ms(), prefix=self.keys.prefix)
        with producing("add", self.name, [job]) as sent:
            try:
                added = self._live().runner.run(add_job(self.keys, job))
            except RedisUnavailable as error:
                raise lost_add(error) from None
            if sent is not None:
                sent.added(added.job_id)
            return JobHandle(self, check_added(added, job))

    def add_many(self, jobs: Iterable[Sequence[Any]]) -> list[JobHandle]:
        """Add jobs given as (name, data) or (name, data, {options}), in order, some hundred in one round trip.

        All are checked before the first is written. When Redis fails midway, those of earlier round trips are in.

        Raises:
            As add.
        """
        from jobd.engine.pipelining import run_pipelined

        built = self.build_many(jobs)
        done: list[Added] = []
        with producing("add_many", self.name, built):
            batches = (add_jobs(self.keys, built[start : start + BATCH]) for start in range(0, len(built), BATCH))
            try:
                for added in run_pipelined(self._live().runner, script("add_job"), batches):
                    done += added
            except RedisUnavailable as error:
                raise lost_add(error, f" ({len(done)} of {len(built)} are in)") from None
            return [JobHandle(self, check_added(one, job)) for one, job in zip(done, built, strict=True)]

    def add_flow(self, flow: Flow) -> FlowHandle[JobHandle]:
        """Add a tree of jobs in one step: others see all of it or nothing, and parents wait for their children.

        Returns the root's handle with those of its children. Nodes without an id of the producer's get a random one.

        Raises:
            As add; a child that exists below another parent is told by its handle (`refused`).
        """
        from jobd.client.flow import FlowHandle, flow_jobs

        now_ms = SYSTEM_CLOCK.now_ms()
        nodes = flow_jobs(flow, self.keys, now_ms=now_ms)
        with producing("add_flow", nodes[0].keys.queue, [node.job for node in nodes]):
            try:
                done = self._live().runner.run(add_flow([(node.keys, node.job) for node in nodes], now_ms))
            except RedisUnavailable as error:
                raise lost_add(error) from None
            check_added(done[0], nodes[0].job)

        def handle(place: int) -> FlowHandle[JobHandle]:
            node, added = nodes[place], done[place]
            job = JobHandle(self.beside(node.keys), added)
            return FlowHandle(job, [handle(child) for child in node.children], added.code != 0)

        return handle(0)

    def get(self, job_id: str) -> JobRecord | None:
        """Return the job as it lies in Redis, None when there is none."""
        from jobd.engine.reading import get_job

        return self._live().runner.run(get_job(self.keys, job_id))

    def children_values(self, job_id: str) -> dict[str, Any]:
        """Return the results of a parent's completed children, by their keys (`prefix:queue:id`)."""
        from jobd.engine.reading import children_values

        return self._live().runner.run(children_values(self.keys, job_id))

    def ignored_children_failures(self, job_id: str) -> dict[str, str]:
        """Return why children failed whose failure does not matter to this parent, by their keys."""
        from jobd.engine.reading import ignored_failures

        return self._live().runner.run(ignored_failures(self.keys, job_id))

    def schedule(
        self,
        id: str,  # noqa: A002 - BullMQ's word
        name: str | None = None,
        data: Any = {},  # noqa: B006 - never changed
        **options: Unpack[ScheduledOptions],
    ) -> str | None:
        """Make a schedule, a BullMQ job scheduler, or change the one of this id; workers of any language keep it going.

        Returns the id of the job that is due next, None when it would never be due: nothing is done then.

        Args:
            name: of its jobs; None: the id.
            options: ScheduleOptions (`every` or `cron`, …), and those of `add` that hold for each of its jobs.
        Raises:
            InputError: something is wrong with it; nothing was written.
            JobdError: there is a job already where its next run would be.
            RedisUnavailable, RedisRefused: as add.
        """
        from jobd.client.schedules import schedule_command, scheduled

        command = schedule_command(self.keys, id, name, data, options)
        return None if command is None else scheduled(id, self._live().runner.run(command))

    def unschedule(self, id: str) -> bool:  # noqa: A002 - the name of the argument of schedule
        """Remove a schedule and its run that is not due yet; False when there is none. What waits or runs goes on."""
        from jobd.engine.schedulers import remove_scheduler

        return self._live().runner.run(remove_scheduler(self.keys, id)) == 1

    def schedules(self) -> list[Scheduler]:
        """Return the queue's schedules, whoever made them: the one that is due next first, those jobd paused last."""
        from jobd.engine.schedulers import list_schedulers

        return self._live().runner.run(list_schedulers(self.keys))

    def get_schedule(self, id: str) -> Scheduler | None:  # noqa: A002 - as schedule
        """Return one schedule, None when there is none of that id."""
        from jobd.engine.schedulers import list_schedulers

        found = self._live().runner.run(list_schedulers(self.keys, id))
        return found[0] if found else None

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state, by BullMQ's words: waiting, prioritized, delayed, active, …"""
        from jobd.engine.reading import queue_facts

        return self._live().runner.run(queue_facts(self.keys)).counts

    def events(
        self,
        *names: str,
        job: JobHandle | str | None = None,
        after: str | None = None,
        timeout: str | float | None = None,
    ) -> Iterator[QueueEvent]:
        """Yield what happens to the queue's jobs, as BullMQ tells it; waits for what comes, also while Redis is away.

        Args:
            names: of these events only ("completed", "failed", "progress", …); all without one.
            job: of this job only: its id or its handle.
            after: begin behind this event's id, "0": with the oldest that is kept. Without it: from now on.
            timeout: end when nothing came for that long, "10s" or seconds; else only `close` of the queue ends it.
        Raises:
            InputError: `after` is no event's id.
            RedisUnavailable: without `after`, when Redis does not say where "now" is; later it is waited for.
            RedisRefused: what waiting does not mend (credentials, rights).
        """
        from jobd.client.events import Reading, follow

        reading = Reading(self.keys, names, job, after)
        if after is None:
            reading.begin(self._live().runner.run(reading.last()))
        closes = self._live().closes

        def runner() -> SyncRunner | None:
            live = self._live()  # of this process: a forked child reads through a connection of its own
            return live.runner if live.closes == closes else None

        return follow(reading, runner, timeout, self.block_ms)

    def wait_for(self, job: JobHandle, timeout: str | float | None = None) -> Any:
        """As job.wait(timeout)."""
        timeout_s = None if timeout is None else to_ms(timeout) / 1000
        ending = self._live().watcher.wait(job.id, job._event_id, timeout_s)
        if ending is None:
            raise timed_out(job.id, timeout)
        return finish(job.id, ending)

    def handle(self, job_id: str) -> JobHandle:
        """Return a handle of a job that exists, to wait for it; nothing is asked of Redis."""
        from jobd.engine.new_job import Added

        return JobHandle(self, Added(job_id, "0-0", False, False))

    def _run(self, steps: Steps[T]) -> T:
        return self._live().runner.run_steps(steps)

    def _live(self) -> _Process:
        # A forked child has the parent's sockets and locks: it starts afresh and touches neither.
        if self._process is None or self._process.pid != os.getpid():
            self._process = _Process(self)
        return self._process


class _Process:
    """What a queue object holds in one process."""

    def __init__(self, queue: Queue) -> None:
        self.pid = os.getpid()
        self.closes = 0
        """How often it was closed: what reads on and on ends then."""
        self.is_ours = queue._connection is None
        self.client = _client_of(queue)
        self.runner = SyncRunner(self.client)
        self._watcher: Watcher | None = None
        self._queue = queue
        self._lock = Lock()

    @property
    def watcher(self) -> Watcher:
        from jobd.client.watcher import Watcher

        with self._lock:
            if self._watcher is None:
                self._watcher = Watcher(self.runner, self._queue.keys, self._queue.block_ms)
            return self._watcher

    def close(self) -> None:
        self.closes += 1
        if self._watcher is not None:
            self._watcher.close()
        if self.is_ours:
            self.client.connection_pool.disconnect()
        if self._watcher is not None:
            self._watcher.join()
        if self.is_ours:
            self.client.close()


def _client_of(queue: Queue) -> redis.Redis:
    import redis

    given = queue._connection
    if given is None:
        # Not at the top: a module that only names its queues need not read which Redis, or how to reach it.
        from jobd.engine.connect import sync_client

        return sync_client(queue.source, key=queue.keys.base, answer_limit_s=queue.answer_limit_s)
    return given if isinstance(given, redis.Redis) else redis.Redis(connection_pool=given)
