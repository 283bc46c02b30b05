"""A reload and what may happen in the middle of it, without a process: templates, fleet and links are fakes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jobd.config.problems import ConfigProblems
from jobd.daemon.processes.fleet import Loss
from jobd.daemon.processes.worker_state import WorkerState
from jobd.daemon.reload import apply
from jobd.daemon.reload.states import ReloadState
from jobd.errors import JobdError, Refused
from tests.unit.daemon.reload.reload_world import CHANGED, ONE, World, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_workers_are_replaced_with_no_dip_of_ready_ones(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.write(CHANGED)
        task = world.begin()
        least = 2
        while not task.done():
            least = min(least, sum(worker.takes_jobs for worker in world.workers()))
            await asyncio.sleep(0)
        report = await task
        assert (report.generation, report.interrupted, least) == (2, 0, 2)
        assert [line.split()[1] for line in world.said if "replaced" in line] == ["1/2", "2/2"]
        assert all(worker.state is WorkerState.DRAINING for worker in world.old())

    run(scene())


def test_it_answers_when_no_job_starts_on_old_code_any_more(folder: Path) -> None:
    async def scene() -> None:
        world = World(folder)
        world.fleet.mute = True
        await world.up()
        world.fleet.mute = False
        task = world.begin(code=True)
        while sum(worker.state is WorkerState.DRAINING for worker in world.old()) < 2:
            await asyncio.sleep(0)
        first, second = world.old()
        first.quieted()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        second.exited(0, template_died=False)
        assert (await asyncio.wait_for(task, 4)).generation == 2

    run(scene())


def test_an_old_worker_that_says_nothing_is_named_and_not_waited_for(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(apply, "_QUIETED_LIMIT_S", 0.02)

    async def scene() -> None:
        world = World(folder)
        world.fleet.mute = True
        await world.up()
        assert (await asyncio.wait_for(world.begin(code=True), 5)).generation == 2
        assert "a            worker 1 is busy and may start one more job on the old code" in world.said

    run(scene())


def test_nothing_to_do_makes_no_generation_but_code_always_has(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.templates.changed = ["m.py"]
        report = await world.begin()
        assert (report.generation, world.templates.made) == (1, [])
        assert report.notes == ["code changed on disk (m.py); load it with: jobd reload --code"]
        report = await world.begin(code=True)
        assert (report.generation, report.steps[0].what, report.notes) == (2, "new code", [])

    run(scene())


@pytest.mark.parametrize("event", ["setup fails", "it dies", "it dies when ready"])
def test_a_trial_that_cannot_work_is_rolled_back(folder: Path, event: str) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.fleet.prompt = False
        world.write(CHANGED + '[queues.b]\nhandler = "m:f"\n')
        task = world.begin()
        await world.until(ReloadState.TRIAL)
        while not world.fleet.trials:
            await asyncio.sleep(0)
        while len(world.fleet.trials) < 2:
            await asyncio.sleep(0)
        first, second = world.fleet.trials
        if event == "setup fails":
            first.start_failed("setup", "ValueError: no")
        elif event == "it dies":
            first.exited(9, template_died=False)
        else:
            first.ready(redis_up=True)
            first.exited(9, template_died=False)
            second.ready(redis_up=True)
        with pytest.raises(Refused) as refused:
            await task
        assert refused.value.exit_code == 1
        assert world.current_config.generation == 1
        assert world.templates.discarded == world.templates.made
        assert not world.templates.installed
        assert all(trial.state in (WorkerState.KILLED, WorkerState.GONE) for trial in (second,))
        assert [worker.takes_jobs for worker in world.workers()] == [True, True]
        assert list(world.fleet.pools) == ["a"]

    run(scene())


@pytest.mark.parametrize("state", [ReloadState.CHECKING, ReloadState.TRIAL])
def test_a_stop_ends_a_reload_that_is_not_applied_at_once(folder: Path, state: ReloadState) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.fleet.prompt = False
        world.templates.gate = asyncio.Event()
        if state is ReloadState.TRIAL:
            world.templates.gate.set()
        world.write(CHANGED)
        task = world.begin()
        await world.until(state)
        world.reloader.stop_came()
        with pytest.raises(Refused, match="the daemon stops"):
            await asyncio.wait_for(task, 5)
        assert world.current_config.generation == 1
        assert world.reloader.state is None
        with pytest.raises(Refused, match="is stopping"):
            await world.begin()

    run(scene())


def test_a_stop_while_workers_are_replaced_ends_it_with_the_new_configuration(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.write(CHANGED)
        task = await world.begin_with_one_that_gets_ready()
        await world.until(ReloadState.APPLYING)
        world.reloader.stop_came()
        with pytest.raises(Refused, match="generation 2 is in force, and the daemon stops"):
            await asyncio.wait_for(task, 5)

    run(scene())


def test_a_second_reload_waits_and_says_for_whom(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.templates.gate = asyncio.Event()
        world.write(CHANGED)
        first = world.begin(who="alice")
        await world.until(ReloadState.CHECKING)
        second = world.begin(who="bob", code=True)
        while not world.said:
            await asyncio.sleep(0)
        assert world.said == ["waiting for the reload of alice"]
        world.templates.gate.set()
        assert [(await first).generation, (await second).generation] == [2, 3]

    run(scene())


def test_the_next_reload_works_after_a_refused_one(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.write("[queues.a\n")
        with pytest.raises(ConfigProblems) as refused:
            await world.begin()
        assert "old configuration kept" in str(refused.value)
        world.write(CHANGED)
        assert (await world.begin()).generation == 2

    run(scene())


def test_a_replacement_that_cannot_start_leaves_the_old_worker_and_is_told(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.write(CHANGED)
        task = await world.begin_with_one_that_gets_ready()
        before = len(world.fleet.spawned)
        while len(world.fleet.spawned) == before:
            await asyncio.sleep(0)
        failed = world.fleet.spawned[-1]
        failed.start_failed("setup", "no room")
        failed.exited(256, template_died=False)
        report = await asyncio.wait_for(task, 5)
        assert report.generation == 2
        assert sum(worker.takes_jobs for worker in world.workers()) == 2
        assert any("held back: setup failed: no room" in line for line in world.said)
        world.fleet.pools["a"].stop_restarting()

    run(scene())


def test_a_queue_that_is_not_touched_is_not_waited_for(folder: Path) -> None:
    async def scene() -> None:
        world = World(folder)
        world.fleet.prompt = False
        await world.up()  # its workers do not get ready
        world.fleet.prompt = True
        world.write(ONE + '[queues.b]\nhandler = "m:f"\n')
        report = await asyncio.wait_for(world.begin(), 5)
        assert [step.action.value for step in report.steps] == ["keep", "add"]
        assert not any(worker.takes_jobs for worker in world.workers())

    run(scene())


@pytest.mark.parametrize(("status", "template_died", "counted"), [(0, False, 3), (9, True, 3), (9, False, 0)])
def test_what_is_cut_off_is_counted(folder: Path, status: int, template_died: bool, counted: int) -> None:
    """A drain that is asked for and a template's end are the reload's doing, a crash of the handler is not."""

    async def scene() -> None:
        world = await World(folder).up()
        world.write(CHANGED)
        assert (await world.begin()).interrupted == 0
        old = world.old()[0]
        old.board.running = 3
        pool = world.fleet.pools["a"]
        old.exited(status, template_died=template_died)
        world.reloader.worker_lost(Loss(pool, old, "", [], False))
        world.reloader.worker_lost(Loss(pool, old, "", [], False))
        assert world.reloader.interrupted == counted

    run(scene())


@pytest.mark.parametrize("now", ["redis://:new@127.0.0.1:6379/0", "redis://user:x@127.0.0.1:6379/0"])
def test_new_credentials_renew_connections_and_no_worker(folder: Path, now: str) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        before = world.workers()
        world.path.write_text(f'[redis]\nurl = "{now}"\n{ONE}')
        report = await world.begin()
        assert (report.generation, world.renewed) == (2, 1)
        assert world.workers() == before

    run(scene())


def test_another_server_needs_a_restart(folder: Path) -> None:
    async def scene() -> None:
        world = await World(folder).up()
        world.path.write_text(f'[redis]\nurl = "redis://127.0.0.1:6380/0"\n{ONE}')
        with pytest.raises(JobdError, match="restart the daemon"):
            await world.begin()
        assert world.current_config.generation == 1

    run(scene())
