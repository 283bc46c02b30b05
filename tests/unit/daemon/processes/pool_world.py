"""A pool with hands that a test moves: real workers and no process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobd.config.model import Queue
from jobd.daemon.processes.pool import Pool
from jobd.daemon.processes.worker_state import Worker, WorkerState

KILLED = int(signal.SIGKILL)
BREAKER = {"crashes": 3, "within": "1m", "retry": "1m"}


class FakeClock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        return int(self.now * 1000)


@dataclass(eq=False)
class Timer:
    due: float
    call: Callable[[], None]
    pending: bool = True

    def cancel(self) -> None:
        self.pending = False


@dataclass
class Link:
    """A process that lives until it is killed or told to end."""

    sent: list[Any] = field(default_factory=list)
    killed: bool = False

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def kill(self) -> None:
        self.killed = True

    def print_stacks(self) -> None:
        pass


class World:
    """Hands of one pool: notes what it orders. `alive` are the workers that have a process or are about to get one."""

    def __init__(self, workers: int = 2, breaker: Any = BREAKER) -> None:
        self.clock = FakeClock()
        self.timers: list[Timer] = []
        self.alive: list[Worker] = []
        self.lost_workers: list[Worker] = []
        self.forbidden: str | None = None
        self.generation = 1
        self.pool = Pool(1, queue(workers, breaker), 1, self, self.clock)

    def spawn(self, pool: Pool, worker: Worker) -> None:
        assert self.forbidden is None, f"a worker was started although {self.forbidden}"
        self.alive.append(worker)

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.clock.now + delay_s, call)
        self.timers.append(timer)
        return timer

    def lost(self, pool: Pool, worker: Worker) -> None:
        self.lost_workers.append(worker)

    def notify(self) -> None:
        pass

    async def changed(self, limit_s: float | None = None) -> None:
        await asyncio.sleep(0)

    # --- what happens ------------------------------------------------------------------------------------------------

    def of(self, *states: WorkerState) -> list[Worker]:
        return [worker for worker in self.alive if worker.state in states]

    def get_ready(self, worker: Worker) -> None:
        if worker.state is WorkerState.FORKING:
            worker.spawned(7, Link(), None)  # type: ignore[arg-type]
            worker.told_to_start()
        worker.ready(redis_up=True)

    def all_ready(self) -> None:
        for worker in list(self.alive):
            self.get_ready(worker)

    def end(self, worker: Worker, status: int = KILLED) -> None:
        """The process ends; a worker that never had one is told so."""
        self.alive.remove(worker)
        if worker.link is None:
            worker.fork_failed("not wanted any more")
        else:
            worker.exited(status, template_died=False)

    def obey(self) -> None:
        """Whoever was told to end, or killed, ends."""
        for worker in self.of(WorkerState.DRAINING, WorkerState.STOPPING, WorkerState.KILLED):
            self.end(worker, KILLED if worker.state is WorkerState.KILLED else 0)

    def fail_start(self, worker: Worker, *, crash: bool = False) -> None:
        if worker.state is WorkerState.FORKING:
            worker.spawned(7, Link(), None)  # type: ignore[arg-type]
        if not crash:
            worker.start_failed("setup", "no database")
        self.end(worker, KILLED if crash else 1 << 8)

    def elapse(self) -> None:
        """The earliest timer ends."""
        due = min((timer for timer in self.timers if timer.pending), key=lambda timer: timer.due, default=None)
        if due is not None:
            due.pending = False
            self.timers.remove(due)
            self.clock.now = max(self.clock.now, due.due)
            due.call()

    def reload(self, workers: int | None = None) -> None:
        """A reload that needs new workers; its trial worker is ready."""
        self.generation += 1
        self.pool.reconfigure(queue(workers or self.pool.queue.workers), self.generation)
        trial = Worker(self.pool.new_name(1), "q", self.generation, self.pool, self.clock, hold=True)
        trial.spawned(7, Link(), None)  # type: ignore[arg-type]
        trial.told_to_start()
        self.alive.append(trial)
        trial.owner = Nobody()
        trial.ready(redis_up=True)
        self.pool.adopt(trial)
        self.pool._begin_roll()
        self.pool.fill()

    def states(self) -> list[str]:
        return [place.state.value for place in self.pool.places.values()]


class Nobody:
    def worker_ready(self, worker: Worker) -> None: ...
    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None: ...
    def worker_gone(self, worker: Worker) -> None: ...


def queue(workers: int, breaker: Any = BREAKER) -> Queue:
    return Queue.model_validate({"name": "q", "handler": "m:f", "workers": workers, "breaker": breaker})


def ready_world(workers: int = 2, breaker: Any = BREAKER) -> World:
    world = World(workers, breaker)
    world.pool.fill()
    world.all_ready()
    return world


def place(world: World, number: int = 1) -> Any:
    return world.pool.places[number]
