"""What becomes of the jobs of a dead worker, and how long that is tried. Redis and time are made up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.config.model import Queue
from jobd.daemon.duties import recover as module
from jobd.daemon.duties.recover import Recover, begun_jobs, reason_of
from jobd.daemon.duties.template_crashes import FREE
from jobd.daemon.processes.exit_status import UNKNOWN_STATUS, Ending
from jobd.daemon.processes.fleet import Loss
from jobd.daemon.views import StoppedJob
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.protocol.board import SlotState, SlotView

SIGKILL = 9


class Board:
    def __init__(self, turn_sent_at: float = 0.0) -> None:
        self.turn_sent_at = turn_sent_at
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Worker:
    """A dead worker; its board shows these jobs."""

    def __init__(self, ending: Ending, *jobs: str | None, turn_sent_at: float = 0.0, cause: str | None = None) -> None:
        self.name, self.pid, self.status = "1.1", 7, SIGKILL
        self.ending, self.cause = ending, cause
        self.overdue: list[SlotView] = []
        self.board: Board | None = Board(turn_sent_at)
        self._jobs = jobs

    def slots(self) -> list[SlotView]:
        jobs = () if self.board is None else self._jobs
        return [SlotView(at, SlotState.RUNNING, job, "n", 1, 1.0, 0.0, 0.0) for at, job in enumerate(jobs)]


class Redis:
    """Notes the scripts it runs; raises what it is given first, one error for each call."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, tuple[Any, ...]]] = []
        self.errors: list[Exception] = []
        self.away = False
        self.answers: dict[str, list[Any]] = {}

    async def run(self, command: Any) -> Any:
        await asyncio.sleep(0)
        if self.away:
            raise RedisUnavailable("gone")
        if self.errors:
            raise self.errors.pop(0)
        self.ran.append((command.script.name, command.words[4:]))
        return command.read(self.answers.get(command.script.name, []))

    async def run_many(self, commands: Any) -> list[Any]:
        return [None for _ in commands]

    def names(self) -> list[str]:
        return [name for name, _ in self.ran]


class Host:
    """A fleet whose other workers end one by one, and the recovery of what they held."""

    def __init__(self) -> None:
        self.redis = Redis()
        self.living: list[Any] = []
        self.looks = 0
        self.fleet: Any = SimpleNamespace(
            clock=SimpleNamespace(monotonic=lambda: 100.0, now_ms=lambda: 100_000),
            source=SimpleNamespace(prefix="bull"),
            workers=lambda: [(pool, None) for pool in self.living],
            changed=self.changed,
            incarnation_prefix="inc:",
        )
        self.ended: list[tuple[str, int, int]] = []
        self.recover = Recover(self.fleet, self.redis, lambda *told: self.ended.append(told))  # type: ignore[arg-type]

    async def changed(self, limit_s: float) -> None:
        """One worker after another ends."""
        self.looks += 1
        self.living.pop()
        await asyncio.sleep(0)

    def lose(self, worker: Worker) -> None:
        self.recover.lost(loss_of(worker))

    def settled(self, *workers: Worker) -> bool:
        async def work() -> bool:
            for worker in workers:
                self.lose(worker)
            return await self.recover.settle(10.0)

        return asyncio.run(work())


def pool_of(queue: str = "mail") -> Any:
    return SimpleNamespace(name=queue, queue=Queue.model_validate({"name": queue, "handler": "m:f"}))


def loss_of(worker: Worker, queue: str = "mail", output: tuple[str, ...] = (), oom: bool = False) -> Loss:
    return Loss(pool_of(queue), worker, f"inc:{worker.name}:", list(output), oom)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    monkeypatch.setattr(module, "_LATE_TURN_S", (0.0, 0.0))


# --- what is done ----------------------------------------------------------------------------------------------------


def test_the_jobs_of_a_crashed_worker_are_recovered_by_its_own_prefix_and_those_begun_by_their_ids():
    host = Host()
    worker = Worker(Ending.CRASHED, "a", None, "b")
    board = worker.board
    assert host.settled(worker)
    ((name, (_, prefix, now_ms, counted, _, reason, *_, one, its_ats, two, ats)),) = host.redis.ran
    assert (name, prefix, now_ms, counted) == ("recover_jobs", "inc:1.1:", 100_000, 1)
    assert reason == b"worker died: signal 9 (SIGKILL)"
    assert (one, its_ats, two, ats) == (b"a", 1, b"b", 1)
    assert worker.board is None
    assert board is not None
    assert board.closed == 1


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending is not Ending.ASKED])
def test_only_what_is_the_workers_own_doing_is_counted_on_its_jobs(ending):
    host = Host()
    assert host.settled(Worker(ending, "a"))
    counted = host.redis.ran[-1][1][3]
    assert counted == int(ending in (Ending.CRASHED, Ending.MEMORY, Ending.STOOD_STILL))


def test_the_third_template_that_dies_under_a_job_is_counted_on_it():
    host = Host()
    for _ in range(FREE + 1):
        assert host.settled(Worker(Ending.TEMPLATE_DIED, "a"))
    assert [words[3] for _, words in host.redis.ran] == [0] * FREE + [1]


def test_a_workers_own_crashes_are_not_held_against_a_job_when_its_template_dies():
    host = Host()
    for ending in (Ending.CRASHED, Ending.CRASHED, Ending.TEMPLATE_DIED):
        assert host.settled(Worker(ending, "a"))
    assert [words[3] for _, words in host.redis.ran] == [1, 1, 0]


@pytest.mark.parametrize(
    ("ending", "first"), [(Ending.TIMED_OUT, True), (Ending.CANCELLED, True), (Ending.CRASHED, False)]
)
def test_the_job_a_worker_was_killed_for_is_settled_before_its_neighbours_are_recovered(ending, first):
    host = Host()
    assert host.settled(Worker(ending, "a"))
    assert host.redis.names() == (["adopt_jobs"] if first else []) + ["recover_jobs"]


def test_what_a_worker_that_was_asked_to_end_held_is_handed_back_at_once():
    host = Host()
    host.living = [pool_of()]
    host.redis.answers["hand_back_jobs"] = [b"b", 1, b"a", 3]
    assert host.settled(Worker(Ending.ASKED, "a"))
    assert host.redis.ran == [("hand_back_jobs", ("bull:mail:", "inc:1.1:"))]
    assert host.looks == 0
    assert host.recover.handed_back == [], "a reload did that: no stop that comes later reports it"


def test_when_the_daemon_stops_a_queues_jobs_go_back_together_after_its_last_worker():
    host = Host()
    host.living = [pool_of("sms"), pool_of("mail"), pool_of("mail")]
    host.recover.together = True
    host.redis.answers["hand_back_jobs"] = [b"b", 1, b"a", 3]
    assert host.settled(Worker(Ending.ASKED, "a"))
    assert host.recover.handed_back == [StoppedJob("mail", "b", "", 1), StoppedJob("mail", "a", "", 3)]
    assert host.looks == 2  # the worker of the other queue is not waited for
    assert [words[-1] for _, words in host.redis.ran] == ["inc:"]


# --- how long it is tried --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RedisUnavailable("gone"), RedisRefused("OOM")])
def test_it_is_tried_until_redis_answers_and_told_once(error, caplog):
    host = Host()
    host.redis.errors = [error] * 5
    with caplog.at_level("WARNING"):
        assert host.settled(Worker(Ending.CRASHED, "a"))
    assert host.redis.names() == ["recover_jobs"]
    assert caplog.text.count("jobs of a dead worker wait for Redis") == 1


def test_a_turn_on_its_way_at_the_death_is_looked_for_twice_more():
    host = Host()
    assert host.settled(Worker(Ending.CRASHED, turn_sent_at=99.0))
    assert host.redis.names() == ["recover_jobs"] * 3
    host.redis.ran.clear()
    assert host.settled(Worker(Ending.CRASHED))
    assert host.redis.names() == ["recover_jobs"]


def test_a_stop_does_not_wait_long_for_a_redis_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(module, "_BRIEFLY_AWAY_S", 0.0)
    host = Host()
    host.redis.away = True
    worker = Worker(Ending.ASKED, "a")
    board = worker.board

    async def work() -> None:
        host.lose(worker)
        assert not await host.recover.settle(3600.0)
        await host.recover.stop()
        assert await host.recover.settle(3600.0)

    asyncio.run(work())
    assert host.recover.handed_back == []
    assert worker.board is None
    assert board is not None
    assert board.closed == 1


def test_a_redis_that_came_back_is_waited_for_in_full_again(monkeypatch):
    monkeypatch.setattr(module, "_BRIEFLY_AWAY_S", 0.0)
    host = Host()

    async def work() -> None:
        host.redis.errors = [RedisUnavailable("restarts")]
        host.lose(Worker(Ending.CRASHED, "a"))
        while not host.redis.ran:
            await asyncio.sleep(0)
        host.lose(Worker(Ending.CRASHED, "b"))
        assert await host.recover.settle(3600.0)

    asyncio.run(work())
    assert len(host.redis.ran) == 2


def test_with_nothing_lost_everything_is_settled():
    assert Host().settled()


# --- what is said of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "cause", "oom", "said"),
    [
        (SIGKILL, None, False, "worker died: signal 9 (SIGKILL)"),
        (3 << 8, None, False, "worker died: exit code 3"),
        (SIGKILL, None, True, "worker died: out of memory (signal 9 (SIGKILL) by the kernel)"),
        (11, None, True, "worker died: signal 11 (SIGSEGV)"),
        (UNKNOWN_STATUS, None, True, "worker died: exit status unknown"),
        (SIGKILL, "more than memory_max", True, "worker died: more than memory_max"),
    ],
)
def test_the_cause_of_death_in_words(status, cause, oom, said):
    worker = Worker(Ending.CRASHED, cause=cause)
    worker.status = status
    assert reason_of(loss_of(worker, oom=oom)) == said


def test_the_last_lines_it_printed_come_below_the_cause():
    loss = loss_of(Worker(Ending.CRASHED), output=("one", "two", "", "three", "four"))
    assert reason_of(loss).split("\n")[1:] == ["two", "three", "four"]


def test_a_worker_without_a_board_had_begun_nothing():
    worker = Worker(Ending.CRASHED, "a")
    worker.board = None
    assert begun_jobs(loss_of(worker)) == []
