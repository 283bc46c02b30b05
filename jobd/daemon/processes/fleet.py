"""All pools of this daemon with their processes: what a pool decides is carried out here."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.daemon.background import Background
from jobd.daemon.logs import event_log
from jobd.daemon.processes.kernel import OPEN_FILES, OomKills
from jobd.daemon.processes.orphans import Orphans
from jobd.daemon.processes.pool import Pool
from jobd.daemon.processes.template_process import TemplateDied, TemplateError
from jobd.daemon.processes.template_store import START_TRIES
from jobd.daemon.processes.worker_process import WorkerProcess
from jobd.daemon.processes.worker_spec import (
    numbers_of,
    open_files_needed,
    open_files_of,
    redis_target,
    start_message,
    template_key,
)
from jobd.daemon.state_dir import ServedQueue
from jobd.errors import InputError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterator

    from jobd.clock import Clock
    from jobd.config.model import Config, Queue
    from jobd.daemon.incarnation import IncarnationRecord
    from jobd.daemon.processes.template_process import Template
    from jobd.daemon.processes.template_store import TemplateStore
    from jobd.daemon.processes.worker_spec import TemplateKey
    from jobd.daemon.processes.worker_state import Worker
    from jobd.daemon.views import Order
    from jobd.locate import RedisSource
    from jobd.protocol.worker import RedisTarget, Start

log = event_log(__name__)

_BURST_PAUSE_S = 0.02
"""While many workers start, their pids are written down together this often: each write is an fsync."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A worker's process has ended and may have held jobs: what recovery needs to know."""

    pool: Pool
    worker: Worker
    token_prefix: str
    last_output: list[str]
    out_of_memory: bool


class Fleet:
    """Owns pools and worker processes. Pools of removed queues stay until their last worker has ended."""

    def __init__(
        self, config: Config, source: RedisSource, templates: TemplateStore, record: IncarnationRecord, clock: Clock
    ) -> None:
        self.config = config
        self.source = source
        self.pools: dict[str, Pool] = {}
        self.drained_pools: list[Pool] = []
        self.quieted_by: Order | None = None
        """Who quieted this host: pools made meanwhile are quiet too."""
        self.orphans = Orphans(self.pids)
        self.withheld = False
        """Whether no queue takes jobs because Redis is full."""
        self.on_loss: Callable[[Loss], None] = lambda loss: None
        self.look_for_cancelled: Callable[[str], None] = lambda queue: None
        """Told of a queue some of whose running jobs were cancelled: does not wait for the next renewal."""
        self.clock = clock
        self._templates = templates
        self._record = record
        self._host = socket.gethostname()
        self._processes: dict[Worker, WorkerProcess] = {}
        self._pools_made = 0
        self._spawning = Background()
        self._recording: asyncio.Future[None] | None = None
        self._recorded_at = 0.0
        self._oom = OomKills()
        self._changed = asyncio.Event()
        self._told_of_changes: list[Callable[[], None]] = []

    # --- who there is ------------------------------------------------------------------------------------------------

    def all_pools(self) -> Iterator[Pool]:
        """Yield the pools in service, then those that drain."""
        yield from self.pools.values()
        yield from self.drained_pools

    def pools_by_queue(self) -> dict[str, list[Pool]]:
        """Return {queue: its pools}: two or more where a removed queue came back before its workers had drained."""
        found: dict[str, list[Pool]] = {}
        for pool in self.all_pools():
            found.setdefault(pool.name, []).append(pool)
        return found

    def workers(self) -> Iterator[tuple[Pool, Worker]]:
        """Yield every worker that has not ended, with its pool."""
        for pool in self.all_pools():
            for worker in pool.workers():
                yield pool, worker

    def busy(self) -> int:
        """Return how many jobs run, by the boards."""
        return sum(worker.board.busy for _, worker in self.workers() if worker.board is not None)

    def pids(self) -> set[int]:
        """Return the pids of templates and workers: everybody whose exit status is awaited."""
        own = {process.worker.pid for process in self._processes.values() if process.worker.pid}
        return own | self._templates.pids()

    @property
    def incarnation_prefix(self) -> str:
        """What the locks of this daemon's jobs begin with."""
        return f"{self._record.id}:"

    def token_prefix(self, worker: Worker) -> str:
        """Return what the locks of a worker's jobs begin with."""
        return f"{self.incarnation_prefix}{worker.name}:"

    def new_pool(self, queue: Queue, generation: int) -> Pool:
        """Return a pool for a queue; it is not in service yet and has no workers."""
        # Never used twice: a removed queue that comes back may still have workers that drain.
        self._pools_made += 1
        pool = Pool(self._pools_made, queue, generation, self, self.clock, quieted_by=self.quieted_by)
        pool.withheld = self.withheld
        return pool

    def withhold(self, withheld: bool) -> None:
        """Take no jobs on this host while Redis is full, or again."""
        if withheld is self.withheld:
            return
        self.withheld = withheld
        for pool in self.pools.values():
            pool.withheld = withheld
            pool.apply_quiet()
        self.notify()
        if withheld:
            log.warning("Redis is full: no job is taken until it has room")
        else:
            log.info("Redis has room: jobs are taken again")

    def make_room(self, queues: Collection[Queue]) -> None:
        """Raise the limit of open files to what these queues need; the log says when the hard limit is too low."""
        needed = open_files_needed(queues)
        limit = OPEN_FILES.ensure(needed)
        if limit < needed:
            log.warning("too few open files", needed=needed, limit=limit, hint="raise the hard limit (LimitNOFILE=)")

    def use_redis(self, source: RedisSource) -> None:
        """Have all workers open their connections anew, with these credentials."""
        self.source = source
        target = self._redis_now()
        for _, worker in self.workers():
            worker.use_redis(target)

    async def stacks(self, worker: Worker) -> str:
        """Return the stacks of a worker's threads and tasks.

        Raises:
            Refused: it has no process, or does not say them.
        """
        process = self._processes.get(worker)
        if process is None:
            raise Refused("worker-not-ready", f"worker {worker.pid} has no stacks now: it is {worker.shown_state}")
        return await process.stacks()

    def queues_of(self, key: TemplateKey, config: Config) -> list[Queue]:
        """Return the queues of a configuration that share this template, whether or not this daemon runs them."""
        return [queue for queue in config.queues.values() if template_key(queue) == key]

    async def changed(self, limit_s: float | None = None) -> None:
        """Return when something of a pool has changed, or after the limit."""
        self._changed.clear()
        try:
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def tell_changes(self, call: Callable[[], None]) -> None:
        """Call this, too, whenever something of a pool has changed: its queue's settings, its workers."""
        self._told_of_changes.append(call)

    # --- pool_actions.PoolActions -------------------------------------------------------------------------------------

    def spawn(self, pool: Pool, worker: Worker) -> None:
        """Make the worker's process from the current template of its queue."""
        # The file may ask for fewer than a scale or a replacement brings.
        OPEN_FILES.ensure(open_files_of(len(self._processes) + len(self._spawning) + 2 * len(self.pools) + 1))
        self._start(self._spawn(pool, worker), worker)

    def spawn_trial(self, queue: Queue, worker: Worker, template: Template) -> None:
        """Make the process of a worker that runs by a configuration which is not accepted yet."""
        self._start(self._spawn_trial(queue, worker, template), worker)

    def later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back after a while."""
        return asyncio.get_running_loop().call_later(delay_s, call)

    def lost(self, pool: Pool, worker: Worker) -> None:
        """Hand the ended worker to recovery."""
        process = self._processes.pop(worker, None)
        if process is None or not worker.pid:
            return  # there never was a process
        by_kernel = worker.cause is None and self._oom.rose()
        if by_kernel:
            log.warning("worker killed by the kernel for memory", queue=pool.name, pid=worker.pid)
        self.on_loss(Loss(pool, worker, self.token_prefix(worker), process.last_output, by_kernel))

    def notify(self) -> None:
        """Wake whoever waits in `changed`, and forget removed pools whose last worker has ended."""
        self.drained_pools = [pool for pool in self.drained_pools if any(True for _ in pool.workers())]
        self._changed.set()
        for call in self._told_of_changes:
            call()

    def _start(self, work: Coroutine[None, None, None], worker: Worker) -> None:
        # Else its place would wait for it for ever.
        self._spawning.start(work, "spawn", died=lambda error: worker.fork_failed(repr(error)))

    async def _spawn(self, pool: Pool, worker: Worker) -> None:
        for attempt in range(START_TRIES):
            key = template_key(pool.queue)
            try:
                template = await self._templates.get(self.config, key, self.queues_of(key, self.config))
                await self._fork(lambda: pool.queue, worker, template)
            except TemplateDied as error:
                # It was killed meanwhile: that is no fault of this worker, another template forks it.
                if attempt == START_TRIES - 1:
                    worker.fork_failed(str(error))
            except (TemplateError, InputError, OSError) as error:
                worker.fork_failed(str(error))
                return
            else:
                return

    async def _spawn_trial(self, queue: Queue, worker: Worker, template: Template) -> None:
        try:
            await self._fork(lambda: queue, worker, template)
        except (TemplateError, OSError) as error:
            worker.fork_failed(str(error))

    async def _fork(self, queue: Callable[[], Queue], worker: Worker, template: Template) -> None:
        async with template.forking:
            if not worker.is_wanted:
                worker.fork_failed("not wanted any more")
                return
            self._record.serves(ServedQueue(self.source.shown, self.source.prefix, worker.queue))
            process = WorkerProcess(
                worker,
                template,
                lambda: self._start_of(queue(), worker),
                self._recorded,
                self._redis_now,
                orphans=self.orphans,
            )
            self._processes[worker] = process
            await process.spawn()

    def _start_of(self, queue: Queue, worker: Worker) -> Start:
        # Made when it is sent: numbers may have changed while the template was busy.
        worker.slot_limit = max(worker.slot_limit, queue.jobs_at_once)
        worker.loop = queue.loop.value
        worker.told_to_start()
        return start_message(
            queue, numbers_of(queue), worker=worker.name, incarnation=self._record.id, host=self._host,
            redis=self._redis_now(), app=self.config.app.name,
            tell_failures=self.config.development,
        )  # fmt: skip

    def _redis_now(self) -> RedisTarget:
        """Return what workers connect to; a rotated secret is read here."""
        renewal = self.source.renewal
        return redis_target(self.source if renewal is None else renewal.now())

    async def _recorded(self) -> None:
        """Return when the processes there are now are written down; those of a burst share one write to the disk."""
        if self._recording is None:
            loop = asyncio.get_running_loop()
            self._recording = loop.create_future()
            pause = _BURST_PAUSE_S if loop.time() - self._recorded_at < 10 * _BURST_PAUSE_S else 0.0
            loop.call_later(pause, self._write_record)
        await asyncio.shield(self._recording)

    def _write_record(self) -> None:
        waiting, self._recording = self._recording, None
        try:
            self._record.runs(self.pids())
        finally:
            self._recorded_at = asyncio.get_running_loop().time()
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
