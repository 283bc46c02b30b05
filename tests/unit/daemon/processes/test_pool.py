"""The pool of a queue, one case each; test_pool_every_pair.py has anything in any order."""

from __future__ import annotations

import asyncio

import pytest

from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.hold import HeldBy
from jobd.daemon.processes.worker_state import Worker, WorkerState
from tests.unit.daemon.processes.pool_world import KILLED, Link, Nobody, World, place, queue, ready_world


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
    trial = Worker("1.1.9", "q", 2, Nobody(), world.clock, hold=True)
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
    assert world.pool.hold.reason == "1 crash in 1m (out of memory: 1.1GB used, memory_max is 1GB)"


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


def test_a_worker_without_redis_is_not_stopped_when_its_grace_is_over_but_when_redis_is_back():
    """What it ran and could not report would run again: the results are lost with it."""
    world = ready_world(1)
    old = world.alive[0]
    world.pool.replace(place(world), grace_s=5.0)
    world.get_ready(world.alive[-1])
    old.redis_state(up=False)
    for _ in range(20):
        world.elapse()
        assert old.state is WorkerState.DRAINING
    old.redis_state(up=True)
    world.elapse()
    assert old.state is WorkerState.STOPPING
    world.elapse()
    assert (old.state, old.ending) == (WorkerState.KILLED, Ending.ASKED)
