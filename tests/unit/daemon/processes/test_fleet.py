"""What the pools' hands do: who forks a worker, what is tried again, whom recovery hears of. No process runs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.config.model import Queue
from jobd.daemon.processes import fleet as module
from jobd.daemon.processes.fleet import Fleet, Loss
from jobd.daemon.processes.pool import Pool
from jobd.daemon.processes.template_process import TemplateDied, TemplateError
from jobd.daemon.processes.template_store import START_TRIES
from jobd.errors import InputError, Refused
from jobd.locate import RedisSource


class Worker:
    """A worker that a test has spawned; notes what it is told."""

    def __init__(self, pid: int = 7, cause: str | None = None) -> None:
        self.name, self.queue, self.pid, self.cause = "1.1", "mail", pid, cause
        self.is_wanted, self.shown_state = True, "starting"
        self.board: Any = None
        self.failures: list[str] = []
        self.redis: list[Any] = []

    def fork_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def use_redis(self, target: Any) -> None:
        self.redis.append(target)


class Process:
    """What WorkerProcess is to the fleet; raises the next error instead of forking."""

    errors: list[Exception]

    def __init__(self, worker: Worker, template: Any, *_: Any, **__: Any) -> None:
        self.worker, self.template, self.last_output = worker, template, ["bye"]

    async def spawn(self) -> None:
        await asyncio.sleep(0)
        if Process.errors:
            raise Process.errors.pop(0)

    async def stacks(self) -> str:
        return f"stacks of {self.worker.pid}"


class Templates:
    """Each call makes another template, or raises."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.calls = 0

    async def get(self, config: Any, key: Any, queues: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return SimpleNamespace(number=self.calls, forking=asyncio.Semaphore(1))

    def pids(self) -> set[int]:
        return {1}


class World:
    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.served: list[Any] = []
        self.oom = False
        self.templates = Templates()
        queue = Queue.model_validate({"name": "mail", "handler": "m:f"})
        record: Any = SimpleNamespace(id="inc", serves=self.served.append)
        clock: Any = SimpleNamespace(monotonic=lambda: 100.0)
        config: Any = SimpleNamespace(queues={"mail": queue})
        self.fleet: Any = Fleet(config, RedisSource("redis://h/0"), self.templates, record, clock)  # type: ignore[arg-type]
        self.fleet.on_loss = self.losses.append
        self.fleet._oom = SimpleNamespace(rose=lambda: self.oom)
        self.queue = queue
        self.pool: Pool = self.fleet.new_pool(queue, 1)

    async def spawn(self, worker: Worker) -> None:
        self.fleet.spawn(self.pool, worker)
        await self.fleet._spawning.wait()


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    Process.errors = []
    monkeypatch.setattr(module, "WorkerProcess", Process)
    monkeypatch.setattr(module, "OPEN_FILES", SimpleNamespace(ensure=lambda needed: needed))


@pytest.fixture
def world() -> World:
    return World()


def test_a_worker_is_forked_once_and_its_queue_written_down_before(world):
    worker = Worker()
    asyncio.run(world.spawn(worker))
    assert (worker.failures, world.templates.calls) == ([], 1)
    assert [served.queue for served in world.served] == ["mail"]
    assert world.fleet.pids() == {1, 7}


@pytest.mark.parametrize("where", ["templates", "process"])
def test_a_template_that_dies_under_a_fork_is_no_fault_of_the_worker_until_it_always_does(world, where):
    errors = world.templates.errors if where == "templates" else Process.errors
    errors += [TemplateDied("killed", [])] * (START_TRIES - 1)
    worker = Worker()
    asyncio.run(world.spawn(worker))
    assert (worker.failures, world.templates.calls) == ([], START_TRIES)
    errors += [TemplateDied("killed", [])] * START_TRIES
    asyncio.run(world.spawn(worker))
    assert worker.failures == ["killed"]


@pytest.mark.parametrize("error", [TemplateError("old version", []), InputError("no secret"), OSError("no room")])
def test_what_another_template_would_not_mend_fails_at_once(world, error):
    world.templates.errors.append(error)
    worker = Worker()
    asyncio.run(world.spawn(worker))
    assert (worker.failures, world.templates.calls) == ([str(error)], 1)


def test_a_fault_of_jobds_own_while_it_is_forked_does_not_leave_its_place_waiting(world, caplog):
    Process.errors = [KeyError("nobody thought of it")]
    worker = Worker()
    asyncio.run(world.spawn(worker))
    assert worker.failures == ["KeyError('nobody thought of it')"]
    assert [record.getMessage() for record in caplog.records] == ["background task failed"]


def test_a_worker_given_up_meanwhile_is_not_forked(world):
    worker = Worker()
    worker.is_wanted = False
    asyncio.run(world.spawn(worker))
    assert worker.failures == ["not wanted any more"]
    assert world.served == []


def test_a_trial_is_forked_from_the_template_it_is_given_and_not_tried_again(world):
    Process.errors = [TemplateDied("killed", [])]
    worker = Worker()

    async def work() -> None:
        world.fleet.spawn_trial(world.queue, worker, SimpleNamespace(forking=asyncio.Semaphore(1)))
        await world.fleet._spawning.wait()

    asyncio.run(work())
    assert (worker.failures, world.templates.calls) == (["killed"], 0)


@pytest.mark.parametrize(
    ("rose", "cause", "told"), [(True, None, True), (False, None, False), (True, "timeout", False)]
)
def test_recovery_hears_once_of_a_worker_that_had_a_process_and_whether_memory_ran_out(world, rose, cause, told):
    worker = Worker(cause=cause)
    asyncio.run(world.spawn(worker))
    world.oom = rose
    world.fleet.lost(world.pool, worker)
    world.fleet.lost(world.pool, worker)
    assert world.losses == [Loss(world.pool, worker, "inc:1.1:", ["bye"], told)]  # type: ignore[arg-type]
    assert world.fleet.pids() == {1}


def test_recovery_hears_nothing_of_a_worker_that_never_had_a_process(world):
    worker = Worker(pid=0)
    asyncio.run(world.spawn(worker))
    world.fleet.lost(world.pool, worker)
    world.fleet.lost(world.pool, Worker())
    assert world.losses == []


def test_stacks_come_from_the_process_and_are_refused_without_one(world):
    worker = Worker()
    with pytest.raises(Refused, match="worker 7 has no stacks now: it is starting"):
        asyncio.run(world.fleet.stacks(worker))
    asyncio.run(world.spawn(worker))
    assert asyncio.run(world.fleet.stacks(worker)) == "stacks of 7"


def test_a_pool_number_is_never_used_twice_and_new_pools_are_as_quiet_as_the_host(world):
    world.fleet.pools["mail"] = world.pool
    world.fleet.withhold(True)
    second = world.fleet.new_pool(world.queue, 2)
    assert (world.pool.withheld, second.withheld) == (True, True)
    assert second.number != world.pool.number
    world.fleet.withhold(False)
    assert not world.pool.withheld


def test_removed_pools_are_forgotten_when_their_last_worker_has_ended(world):
    living: Any = SimpleNamespace(workers=lambda: iter([Worker()]))
    ended: Any = SimpleNamespace(workers=lambda: iter([]))
    world.fleet.drained_pools = [living, ended]
    world.fleet.notify()
    assert world.fleet.drained_pools == [living]
    assert [pool for pool, _ in world.fleet.workers()] == [living]


def test_other_credentials_reach_every_worker_as_they_are_read_now(world):
    worker = Worker()
    world.fleet.drained_pools = [SimpleNamespace(workers=lambda: iter([worker]))]
    renewal: Any = SimpleNamespace(now=lambda: RedisSource("redis://h/0", password="newest"))
    world.fleet.use_redis(RedisSource("redis://h/0", password="new", renewal=renewal))
    world.fleet.use_redis(RedisSource("redis://h/0", password="plain"))
    assert [target.password for target in worker.redis] == ["newest", "plain"]


def test_workers_that_start_together_share_one_write_to_the_disk(world):
    """A sync of the disk for each of 500 workers would hold their start up."""
    written = []
    world.fleet._record = SimpleNamespace(runs=written.append)

    async def burst() -> None:
        await asyncio.gather(*(world.fleet._recorded() for _ in range(100)))
        await asyncio.gather(*(world.fleet._recorded() for _ in range(100)))

    asyncio.run(burst())
    assert len(written) == 2
