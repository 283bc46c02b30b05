"""The pool of a queue as a machine: every pair of what can happen to it, with real workers and no process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobd.config.model import Queue
from jobd.daemon.processes.exits import Ending
from jobd.daemon.processes.hold import HeldBy
from jobd.daemon.processes.place import PlaceState
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
        trial.owner = _Nobody()
        trial.ready(redis_up=True)
        self.pool.adopt(trial)
        self.pool._begin_roll()
        self.pool.fill()

    def states(self) -> list[str]:
        return [place.state.value for place in self.pool.places.values()]


class _Nobody:
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


# --- one case each ---------------------------------------------------------------------------------------------------


def test_a_worker_is_replaced_by_one_that_is_ready_first():
    world = ready_world(1)
    (old,) = world.alive
    assert world.pool.replace(place(world))
    assert (old.state, world.states()) == (WorkerState.READY, ["replacing"])
    new = world.alive[-1]
    world.get_ready(new)
    assert (old.state, place(world).worker, world.pool.leaving) == (WorkerState.DRAINING, new, [old])


def test_a_place_that_a_scale_takes_away_while_its_worker_is_replaced_leaves_nobody_behind():
    """The worst fault of issue 5: the old worker was put back on a place that nobody listed any more."""
    world = ready_world(2)
    old = place(world, 2).worker
    world.pool.replace(place(world, 2))
    new = place(world, 2).replacement
    world.pool.scaled_to = 1
    world.pool.fill()
    assert list(world.pool.places) == [1]
    assert set(world.pool.leaving) == {old, new}
    assert (old.state, new.state) == (WorkerState.DRAINING, WorkerState.KILLED)
    world.obey()
    assert world.alive == [place(world, 1).worker]


@pytest.mark.parametrize("crash", [False, True])
def test_a_worker_whose_replacement_can_not_start_serves_on(crash):
    world = ready_world(1)
    (old,) = world.alive
    world.pool.replace(place(world))
    world.fail_start(world.alive[-1], crash=crash)
    assert (world.states(), place(world).worker, old.state) == (["ready"], old, WorkerState.READY)
    assert world.pool.hold.by is HeldBy.SETUP
    assert not world.pool.replace(place(world))
    world.elapse()
    assert not world.pool.hold.is_on


def test_a_worker_that_dies_while_it_is_replaced_leaves_its_place_to_the_replacement():
    world = ready_world(1)
    world.pool.replace(place(world))
    old, new = world.alive
    world.end(old)
    assert (world.states(), place(world).worker) == (["starting"], new)
    world.get_ready(new)
    assert (world.states(), len(world.alive)) == (["ready"], 1)


def test_a_reload_replaces_one_worker_after_the_other():
    world = ready_world(3)
    world.reload()
    assert [p.worker.generation for p in world.pool.places.values()] == [2, 1, 1]
    for _ in range(2):
        assert world.states().count("replacing") == 1
        world.get_ready(world.alive[-1])
    assert [p.worker.generation for p in world.pool.places.values()] == [2, 2, 2]
    assert len(world.of(WorkerState.DRAINING)) == 3


def test_a_reload_whose_second_worker_can_not_start_keeps_the_old_ones_and_goes_on_when_it_can():
    world = ready_world(3)
    world.reload()
    world.fail_start(world.alive[-1])
    assert (world.pool.hold.by, world.states()) == (HeldBy.SETUP, ["ready"] * 3)
    world.elapse()
    assert world.states().count("replacing") == 1
    for _ in range(2):
        world.get_ready(world.alive[-1])
    assert {p.worker.generation for p in world.pool.places.values()} == {2}


def test_a_reload_in_place_does_not_make_old_code_pass_for_new():
    world = ready_world(2)
    world.reload()
    world.fail_start(world.alive[-1])
    world.generation += 1
    world.pool.apply_in_place(queue(2), world.generation)
    world.elapse()
    assert world.states().count("replacing") == 1


def test_a_roll_tells_each_replacement_and_returns_when_the_queue_is_held_back():
    world = ready_world(3)
    told: list[int] = []

    async def rolled() -> None:
        world.generation = 2
        world.pool.reconfigure(queue(3), 2)
        roll = asyncio.create_task(world.pool.roll(told.append))
        for _ in range(2):
            await asyncio.sleep(0)
            world.get_ready(world.alive[-1])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        world.fail_start(world.alive[-1])
        await asyncio.wait_for(roll, 5)

    asyncio.run(rolled())
    assert told == [1, 2]
    assert world.pool.has_ready()


def test_a_trial_worker_that_has_died_is_not_put_on_a_place():
    world = ready_world(1)
    trial = Worker("1.1.9", "q", 2, _Nobody(), world.clock, hold=True)
    trial.spawned(7, Link(), None)  # type: ignore[arg-type]
    trial.ready(redis_up=True)
    trial.exited(KILLED, template_died=False)
    world.pool.adopt(trial)
    assert (world.states(), trial in list(world.pool.workers())) == (["ready"], False)


def test_a_setup_that_dies_without_a_word_while_it_is_tried_again_is_tried_once_more():
    world = World(2, breaker=None)
    world.pool.fill()
    for worker in list(world.alive):
        world.fail_start(worker)
    assert world.pool.hold.by is HeldBy.SETUP
    world.elapse()
    (probe,) = world.alive
    world.fail_start(probe, crash=True)
    assert world.pool.hold.by is HeldBy.SETUP
    world.elapse()
    world.all_ready()
    assert (world.pool.hold.by, world.states()) == (None, ["ready", "starting"])


def test_a_scale_to_nothing_while_a_setup_is_tried_again_does_not_hold_the_queue_for_ever():
    world = World(1)
    world.pool.fill()
    world.fail_start(world.alive[0])
    world.elapse()
    world.pool.scaled_to = 0
    world.pool.fill()
    world.obey()
    world.pool.scaled_to = None
    world.pool.fill()
    world.all_ready()
    assert (world.pool.hold.by, world.states()) == (None, ["ready"])


def test_an_open_breaker_is_not_shortened_by_a_start_that_fails():
    world = ready_world(3, {"crashes": 1, "within": "1m", "retry": "10m"})
    world.pool.replace(place(world, 1))
    world.end(place(world, 2).worker)
    world.fail_start(place(world, 1).replacement)
    assert world.pool.hold.by is HeldBy.BREAKER
    assert world.pool.hold.until == world.clock.now + 600


def test_a_breaker_says_what_the_daemon_knows_about_the_crash():
    world = ready_world(1, {"crashes": 1, "within": "1m", "retry": "1m"})
    worker = world.alive[0]
    worker.kill(Ending.MEMORY, "out of memory: 1.1GB used, memory_max is 1GB")
    world.end(worker)
    assert world.pool.hold.reason == "1 crashes in 1m (out of memory: 1.1GB used, memory_max is 1GB)"


def test_workers_of_a_pool_made_while_the_host_is_quiet_take_nothing():
    world = World(1)
    world.pool.quieted_by = "signal"
    world.pool.fill()
    world.all_ready()
    assert world.alive[0].state is WorkerState.QUIET


def test_a_replaced_worker_with_a_grace_is_stopped_when_that_is_over_and_killed_when_it_stays():
    world = ready_world(1)
    old = world.alive[0]
    world.pool.replace(place(world), grace_s=5.0)
    world.get_ready(world.alive[-1])
    world.elapse()
    assert old.state is WorkerState.STOPPING
    world.elapse()
    assert (old.state, old.ending) == (WorkerState.KILLED, Ending.ASKED)


# --- every pair ------------------------------------------------------------------------------------------------------


class PoolMachine(RuleBasedStateMachine):
    """Anything, in any order: recycle, scale, reload, remove, stop, crash, failed start, quiet, timers."""

    @initialize(workers=st.integers(1, 4), breaker=st.sampled_from([None, BREAKER]))
    def begin(self, workers: int, breaker: Any) -> None:
        self.world = World(workers, breaker)
        self.pool = self.world.pool
        self.pool.fill()

    def _one_of(self, data: Any, workers: Iterable[Worker]) -> Worker | None:
        found = list(workers)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data())
    def becomes_ready(self, data: Any) -> None:
        worker = self._one_of(data, self.world.of(WorkerState.FORKING, WorkerState.STARTING))
        if worker is not None:
            self.world.get_ready(worker)

    @rule(data=st.data(), crash=st.booleans())
    def start_fails(self, data: Any, crash: bool) -> None:
        worker = self._one_of(data, self.world.of(WorkerState.FORKING, WorkerState.STARTING))
        if worker is not None:
            self.world.fail_start(worker, crash=crash)

    @rule(data=st.data())
    def start_takes_too_long(self, data: Any) -> None:
        worker = self._one_of(data, self.world.of(WorkerState.STARTING))
        if worker is not None:
            worker.start_timed_out(60.0)

    @rule(data=st.data(), status=st.sampled_from([KILLED, 0, 1 << 8]))
    def exits(self, data: Any, status: int) -> None:
        worker = self._one_of(data, [worker for worker in self.world.alive if worker.link is not None])
        if worker is not None:
            self.world.end(worker, status)

    @rule(data=st.data(), ending=st.sampled_from([Ending.ASKED, Ending.MEMORY, Ending.TIMED_OUT, Ending.TEMPLATE_DIED]))
    def is_killed(self, data: Any, ending: Ending) -> None:
        worker = self._one_of(data, self.world.alive)
        if worker is not None:
            worker.kill(ending)

    @rule()
    def those_told_to_end_do(self) -> None:
        self.world.obey()

    @rule(data=st.data(), grace_s=st.sampled_from([None, 5.0]))
    def recycle(self, data: Any, grace_s: float | None) -> None:
        places = list(self.pool.places.values())
        if places:
            self.pool.replace(data.draw(st.sampled_from(places)), grace_s)

    @rule(to=st.none() | st.integers(0, 5))
    def scale(self, to: int | None) -> None:
        self.pool.scaled_to = to
        self.pool.fill()

    @rule(workers=st.integers(1, 4))
    @precondition(lambda self: self.pool.is_open)
    def reload(self, workers: int) -> None:
        self.world.reload(workers)

    @rule(workers=st.integers(1, 4))
    @precondition(lambda self: self.pool.is_open)
    def reload_in_place(self, workers: int) -> None:
        self.world.generation += 1
        self.pool.apply_in_place(queue(workers), self.world.generation)

    @rule(quiet=st.booleans())
    def quiet(self, quiet: bool) -> None:
        self.pool.quieted_by = "me" if quiet else None
        self.pool.apply_quiet()

    @rule()
    def time_passes(self) -> None:
        self.world.elapse()

    @rule()
    @precondition(lambda self: self.pool.is_open)
    def remove(self) -> None:
        self.world.forbidden = "the queue was removed"
        self.pool.remove(self.world.generation)

    @rule()
    def stop(self) -> None:
        self.world.forbidden = "the daemon stops"
        self.pool.stop_restarting()
        for worker in list(self.pool.workers()):
            worker.drain()

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_live_worker_is_listed_once(self) -> None:
        listed = list(self.pool.workers())
        assert len(listed) == len(set(listed))
        assert set(listed) == set(self.world.alive)

    @invariant()
    def places_are_those_wanted(self) -> None:
        wanted = self.pool.wanted if self.pool.removed_in is None else 0
        if self.pool.is_open or self.pool.removed_in is not None:
            assert sorted(self.pool.places) == list(range(1, wanted + 1))

    @invariant()
    def a_place_is_what_its_state_says(self) -> None:
        for one in self.pool.places.values():
            expected = {
                PlaceState.EMPTY: (False, False, False),
                PlaceState.BACKING_OFF: (False, False, True),
                PlaceState.STARTING: (True, False, False),
                PlaceState.READY: (True, False, False),
                PlaceState.REPLACING: (True, True, False),
            }[one.state]
            assert (one.worker is not None, one.replacement is not None, one.timer is not None) == expected
            if one.state is PlaceState.STARTING:
                assert not one.worker.takes_jobs
            if one.replacement is not None:
                assert not one.replacement.takes_jobs

    @invariant()
    def whoever_lost_its_place_is_told_to_go(self) -> None:
        for worker in self.pool.leaving:
            assert worker.state in (WorkerState.DRAINING, WorkerState.STOPPING, WorkerState.KILLED)

    @invariant()
    def a_queue_held_back_has_no_restart_due(self) -> None:
        if self.pool.hold.is_on:
            assert all(one.timer is None for one in self.pool.places.values())

    @invariant()
    def quiet_workers_take_nothing(self) -> None:
        if self.pool.is_quiet:
            assert not self.world.of(WorkerState.READY)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """A vacant place of an open pool has something ahead of it: a hold that ends, or a restart that is due."""
        if not self.pool.is_open:
            return
        pending = any(timer.pending for timer in self.world.timers)
        trying = any(one.state is PlaceState.STARTING for one in self.pool.places.values())
        for one in self.pool.places.values():
            assert not one.vacant or pending or trying

    def teardown(self) -> None:
        """When nothing goes wrong any more, every place gets a worker of the newest configuration and the rest end."""
        if not hasattr(self, "world"):
            return
        for _ in range(60):
            self.world.all_ready()
            self.world.obey()
            self.world.elapse()
        self.world.all_ready()
        self.world.obey()
        self.every_live_worker_is_listed_once()
        if self.pool.is_open:
            assert self.world.states() == ["ready"] * self.pool.wanted
            assert not self.pool.hold.is_on
            assert {worker.generation for worker in self.world.alive} <= {self.world.generation}
            assert not self.pool._stale()
        else:
            drained = self.pool.removed_in is not None or self.world.forbidden
            assert not drained or not self.world.alive


PoolMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEveryPair = PoolMachine.TestCase
