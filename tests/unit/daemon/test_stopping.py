"""How a daemon stops: what it waits for, what hurries it, what it reports. Workers and time are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_state import STOP_LIMIT_S, STOP_PATIENCE_MS
from jobd.daemon.stopping import Stopper
from jobd.daemon.views import StoppedJob, StopReport
from jobd.protocol.board import SlotState, SlotView

START = 1000.0
GRACE_S = 30.0


class Worker:
    """Runs the jobs it is given until a test lets it `end`; a kill ends it unless it is `undying`."""

    def __init__(self, world: World, pid: int, jobs: list[str]) -> None:
        self.world, self.pid, self.undying, self.obeys = world, pid, False, False
        self.views = [
            SlotView(slot, SlotState.RUNNING, job, f"send {job}", 1, START - 5, 0.0, 0.0)
            for slot, job in enumerate(jobs)
        ]
        self.told: list[tuple[Any, ...]] = []
        self.held: list[str] = []

    def slots(self) -> list[SlotView]:
        return self.views

    def drain(self) -> None:
        self.told.append(("drain", self.world.passed()))

    def stop(self, patience_ms: int) -> None:
        self.told.append(("stop", self.world.passed(), patience_ms))
        self.held = [str(view.job_id) for view in self.views]
        self.views = []  # it clears its board
        if self.obeys:
            self.world.at(self.world.passed(), lambda: self.end(*self.held))

    def kill(self, ending: Ending) -> None:
        self.told.append(("kill", self.world.passed(), ending))
        if not self.undying:
            self.world.at(self.world.passed(), lambda: self.end(*self.held))

    def kill_late(self) -> None:
        self.kill(Ending.ASKED)

    def end(self, *handed_back: str) -> None:
        """The process is gone; these of its jobs go back to the queue."""
        if self in self.world.living:
            self.world.living.remove(self)
            self.world.recover.handed_back += [StoppedJob("mail", job, "") for job in handed_back]


class Recovery:
    def __init__(self) -> None:
        self.together = False
        self.handed_back: list[StoppedJob] = []
        self.limits: list[float] = []
        self.settles = True

    async def settle(self, limit_s: float) -> bool:
        self.limits.append(limit_s)
        return self.settles


class World:
    """Supervisor and fleet of one queue; time goes on whenever the stop waits for a change."""

    def __init__(self, *jobs: list[str]) -> None:
        self.now = START
        self.events: list[tuple[float, Callable[[], object]]] = []
        self.living = [Worker(self, 100 + number, held) for number, held in enumerate(jobs)]
        self.recover = Recovery()
        self.redis_down = False
        self.notes: list[str] = []
        self.progress: list[str] = []
        self.templates_fail = False
        pool = SimpleNamespace(name="mail", stop_restarting=lambda: self.notes.append("no restarts"))
        self.fleet = SimpleNamespace(
            all_pools=lambda: iter([pool]),
            workers=lambda: ((pool, worker) for worker in list(self.living)),
            changed=self.changed,
            notify=lambda: self.notes.append("woken"),
            orphans=SimpleNamespace(all_gone=lambda: self.notes.append("orphans gone")),
        )
        self.supervisor: Any = SimpleNamespace(
            clock=SimpleNamespace(monotonic=lambda: self.now),
            config=SimpleNamespace(daemon=SimpleNamespace(grace_ms=int(GRACE_S * 1000))),
            fleet=self.fleet,
            health=SimpleNamespace(redis_down=lambda: self.redis_down),
            templates=SimpleNamespace(stop=self.stop_templates),
            record=SimpleNamespace(finished=lambda: self.notes.append("record finished")),
        )
        self.stopper = Stopper(self.supervisor, self.recover, lambda: self.notes.append("stopped"))  # type: ignore[arg-type]

    def passed(self) -> float:
        return round(self.now - START, 3)

    def at(self, passed_s: float, call: Callable[[], object]) -> None:
        """Do this when so much time has passed."""
        self.events.append((passed_s, call))

    async def changed(self, limit_s: float) -> None:
        end = self.now + limit_s
        due = min((START + passed for passed, _ in self.events), default=end)
        self.now = max(self.now, min(end, due))
        ready = [event for event in self.events if START + event[0] <= self.now]
        self.events = [event for event in self.events if event not in ready]
        for _, call in ready:
            call()
        for _ in range(5):  # the tasks that the calls began
            await asyncio.sleep(0)

    async def stop_templates(self) -> None:
        self.notes.append("templates stopped")
        if self.templates_fail:
            raise OSError("no process table")

    async def stop(self, grace_s: float | None = None, *, now: bool = False) -> StopReport:
        return await self.stopper.stop(None if grace_s is None else int(grace_s * 1000), now, self.progress.append)

    def stop_again_at(self, passed_s: float, grace_s: float | None = None, *, now: bool = False) -> list[StopReport]:
        """Call once more then; the list gets its report."""
        reports: list[StopReport] = []

        async def again() -> None:
            reports.append(await self.stop(grace_s, now=now))

        self.at(passed_s, lambda: tasks.append(asyncio.ensure_future(again())))
        return reports


tasks: list[asyncio.Future[None]] = []
"""Kept from the garbage collector while they run."""


@pytest.fixture(autouse=True)
def _no_tasks() -> Iterator[None]:
    yield
    tasks.clear()


def run(work: Coroutine[Any, Any, StopReport]) -> StopReport:
    async def whole() -> StopReport:
        report = await work
        await asyncio.gather(*tasks)
        return report

    return asyncio.run(whole())


def test_it_takes_no_more_jobs_and_ends_with_its_last_worker_long_before_the_grace_is_over():
    world = World(["1"], ["2", "3"])
    first, second = world.living
    world.at(2.0, second.end)
    world.at(3.0, first.end)
    assert run(world.stop()) == StopReport(3, [])
    assert world.passed() == 3.0
    assert first.told == second.told == [("drain", 0.0)]
    assert world.stopper.has_begun
    assert world.recover.together
    assert world.notes == ["no restarts", "templates stopped", "orphans gone", "record finished", "stopped"]


@pytest.mark.parametrize(("asked_s", "lasts_s"), [(None, GRACE_S), (4.0, 4.0), (0.0, 0.0)])
def test_when_the_grace_is_over_the_worker_is_stopped_killed_and_its_job_goes_back_by_name(asked_s, lasts_s):
    world = World(["1"])
    worker = world.living[0]
    assert run(world.stop(asked_s)) == StopReport(0, [StoppedJob("mail", "1", "send 1")])
    assert worker.told == [
        ("drain", 0.0),
        ("stop", lasts_s, STOP_PATIENCE_MS),
        ("kill", pytest.approx(lasts_s + STOP_LIMIT_S), Ending.ASKED),
    ]


def test_a_worker_that_ends_when_it_is_told_to_is_not_killed():
    world = World(["1"])
    worker = world.living[0]
    worker.obeys = True
    run(world.stop(1.0))
    assert [what for what, *_ in worker.told] == ["drain", "stop"]
    assert world.passed() == 1.0


def test_now_waits_for_nothing_whatever_the_grace():
    world = World(["1"])
    world.living[0].obeys = True
    assert run(world.stop(60.0, now=True)).handed_back == [StoppedJob("mail", "1", "send 1")]
    assert world.passed() == 0.0


def test_what_finished_and_what_went_back_are_told_apart():
    world = World(["1"], ["2"])
    world.at(1.0, world.living[1].end)
    assert run(world.stop(5.0)) == StopReport(1, [StoppedJob("mail", "1", "send 1")])


def test_a_job_that_began_while_the_daemon_waited_goes_back_with_its_name_too():
    world = World([])
    worker = world.living[0]
    world.at(1.0, lambda: worker.views.append(SlotView(0, SlotState.RUNNING, "1", "late", 1, START, 0.0, 0.0)))
    assert run(world.stop(5.0)) == StopReport(0, [StoppedJob("mail", "1", "late")])


# --- called again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("again", "ends_at_s"),
    [
        ({"grace_s": 1.0}, 3.0),
        ({"now": True}, 2.0),
        ({"grace_s": 60.0}, 10.0),
        ({}, 10.0),
    ],
)
def test_a_second_call_can_only_shorten_the_wait_and_gets_the_same_report(again, ends_at_s):
    world = World(["1"])
    world.living[0].obeys = True
    reports = world.stop_again_at(2.0, **again)
    first = run(world.stop(10.0))
    assert reports == [first]
    assert world.passed() == pytest.approx(ends_at_s)
    assert world.notes.count("stopped") == 1
    assert ("woken" in world.notes) is bool(again)


def test_a_call_after_the_stop_gets_its_report_at_once():
    world = World(["1"])
    world.living[0].obeys = True

    async def twice() -> StopReport:
        first = await world.stop(1.0)
        assert await world.stop(now=True) is first
        return first

    run(twice())
    assert world.notes.count("templates stopped") == 1


def test_the_stop_goes_on_when_its_caller_has_left():
    world = World(["1"])
    world.at(5.0, world.living[0].end)

    async def leave() -> StopReport:
        caller = asyncio.ensure_future(world.stop())
        world.at(1.0, caller.cancel)
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert "stopped" not in world.notes
        return await world.stop()

    assert run(leave()) == StopReport(1, [])
    assert world.passed() == 5.0


# --- Redis away ------------------------------------------------------------------------------------------------------


def test_without_redis_and_without_a_running_job_there_is_nothing_to_wait_for():
    world = World([])
    world.living[0].obeys = True
    world.redis_down = True
    world.recover.settles = False
    run(world.stop())
    assert world.passed() == 0.0
    assert world.recover.limits == [0.0]
    assert "record finished" not in world.notes  # the next start must recover


def test_without_redis_running_jobs_still_have_their_grace():
    world = World(["1"])
    worker = world.living[0]
    worker.obeys = True
    world.redis_down = True
    world.at(4.0, worker.views.clear)
    run(world.stop())
    assert world.passed() == 4.0


def test_with_redis_the_hand_back_is_waited_for():
    world = World()
    run(world.stop())
    assert world.recover.limits[0] > 1.0


# --- what does not go well -------------------------------------------------------------------------------------------


def test_a_worker_that_survives_sigkill_does_not_hold_the_stop_for_ever(caplog):
    world = World(["1"])
    world.living[0].undying = True
    with caplog.at_level("ERROR"):
        run(world.stop(0.0))
    assert 10.0 < world.passed() < 12.0
    assert "workers do not die" in caplog.text
    assert world.notes[-1] == "stopped"


def test_a_stop_that_fails_says_so_and_still_counts_as_through(caplog):
    world = World()
    world.templates_fail = True

    with pytest.raises(OSError, match="no process table"), caplog.at_level("ERROR"):
        run(world.stop())
    assert "stop failed" in caplog.text
    assert world.notes[-1] == "stopped"


def test_kill_all_ends_the_wait_and_every_worker():
    world = World(["1"], ["2"])
    workers = list(world.living)
    workers[1].undying = True
    world.at(2.0, world.stopper.kill_all)
    run(world.stop())
    assert [("kill", 2.0, Ending.ASKED) in worker.told for worker in workers] == [True, True]
    assert ("stop", 2.0, STOP_PATIENCE_MS) in workers[1].told  # the grace is not waited for any more


def test_a_daemon_that_is_abandoned_restarts_nobody_and_waits_only_for_its_processes():
    world = World(["1"])
    worker = world.living[0]

    async def abandon() -> StopReport:
        await world.stopper.abandon()
        return StopReport(0, [])

    run(abandon())
    assert worker.told == [("kill", 0.0, Ending.ASKED)]
    assert world.stopper.has_begun
    assert world.notes == ["no restarts", "templates stopped", "orphans gone"]


def test_abandoning_a_daemon_that_stops_ends_the_stop_without_a_report():
    world = World(["1"])

    async def abandon() -> StopReport:
        caller = asyncio.ensure_future(world.stop())
        for _ in range(3):
            await asyncio.sleep(0)
        await world.stopper.abandon()
        with pytest.raises(asyncio.CancelledError):
            await caller
        return StopReport(0, [])

    run(abandon())
    assert world.living == []
    assert "record finished" not in world.notes


# --- what is told meanwhile ------------------------------------------------------------------------------------------


def test_the_countdown_names_the_jobs_and_comes_again_when_one_ends_and_every_ten_seconds():
    world = World(["1"], ["2"])
    world.at(4.0, world.living[1].end)
    world.at(16.0, world.living[0].end)
    run(world.stop())
    assert world.progress[:2] == [
        "waiting for 2 jobs (30s left): mail 1 5s, mail 2 5s",
        "waiting for 1 job (26s left): mail 1 9s",
    ]
    assert [text.partition(" (")[0] for text in world.progress[2:]] == ["waiting for 1 job"]


def test_of_many_jobs_five_are_named():
    world = World([str(number) for number in range(7)])
    world.at(1.0, world.living[0].end)
    run(world.stop())
    assert world.progress[0].endswith("mail 4 5s and 2 more")


def test_every_caller_hears_what_is_told_after_its_call():
    world = World(["1"], ["2"])
    heard: list[str] = []
    world.at(1.0, lambda: tasks.append(asyncio.ensure_future(world.stopper.stop(None, False, heard.append))))
    world.at(2.0, world.living[1].end)
    world.at(3.0, world.living[0].end)
    run(world.stop())
    assert [text.partition(" (")[0] for text in heard] == ["waiting for 1 job"]
    assert [text.partition(" (")[0] for text in world.progress] == ["waiting for 2 jobs", "waiting for 1 job"]
