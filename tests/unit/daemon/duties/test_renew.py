"""Which locks are renewed, when, and what becomes of a job whose lock is lost or that was cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties.duty import NOTHING_DUE_S
from jobd.daemon.duties.renew import SHORTEST_S, Renew
from jobd.daemon.processes.exit_status import Ending
from jobd.engine.codes import Code
from jobd.engine.scripts import script
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.protocol.board import SlotState, SlotView

LOCK_S = 30.0
DUE_S = LOCK_S / 3
NOW = 100.0


class Pool:
    def __init__(self, lock_s: float, name: str = "mail", kill_after_s: float = 60.0) -> None:
        self.name = name
        self.queue = SimpleNamespace(lock_duration_ms=lock_s * 1000, kill_after_ms=kill_after_s * 1000)


class Worker:
    """A worker that runs these jobs, slot by slot; it is its own board."""

    def __init__(self, name: str, *jobs: str | None) -> None:
        self.name, self.pid, self.is_up = name, 7, True
        self.views = [
            SlotView(slot, SlotState.RUNNING, job, "n", slot + 1, 1.0, 0.0, 0.0) for slot, job in enumerate(jobs)
        ]
        self.board: Any = self
        self.turn_sent_at = 0.0
        self.not_begun = 0
        self.overdue: list[SlotView] = []
        self.told: list[tuple[Any, ...]] = []
        self.renewed_at = 0.0

    def renewed(self, at: float) -> None:
        self.renewed_at = at

    @property
    def busy(self) -> int:
        return sum(view.state is SlotState.RUNNING for view in self.views) + self.not_begun

    def slots(self) -> list[SlotView]:
        return list(self.views)

    def slot(self, number: int) -> SlotView | None:
        return next((view for view in self.views if view.slot == number), None)

    def cancel(self, slot: int, job_id: str, ats: int, reason: str | None) -> None:
        self.told.append(("cancel", slot, job_id, ats, reason))

    def kill(self, ending: Ending, cause: str) -> None:
        self.told.append(("kill", ending, cause))


class Redis:
    """Answers 1 for every lock, or what it `says` of a job; notes the round trips."""

    def __init__(self) -> None:
        self.says: dict[str, int | str] = {}
        self.trips: list[list[tuple[str, ...]]] = []
        self.away = False
        self.spoiled: set[str] = set()
        self.meanwhile = lambda: None

    async def run_each(self, commands: list[Any]) -> list[Any]:
        if self.away:
            raise RedisUnavailable("gone")
        self.meanwhile()
        trip = []
        answers: list[Any] = []
        for command in commands:
            base, *rest = command.words[3:]
            queue = str(base).split(":")[1]
            if command.script is script("renew_prefix"):
                trip.append((queue, "all of", str(rest[0])))
                answers.append(["a", "b", "c"])
            else:
                ids, tokens = [word.decode() for word in rest[1::2]], rest[2::2]
                trip += [(queue, job, token) for job, token in zip(ids, tokens, strict=True)]
                refusal = RedisRefused("WRONGTYPE") if queue in self.spoiled else None
                answers.append(refusal or [self.says.get(job, 1) for job in ids])
        self.trips.append(trip)
        return answers


class Host:
    """A fleet of these workers, its clock, and the duty on it."""

    def __init__(self, *workers: tuple[Pool, Worker]) -> None:
        self.now = NOW
        self.redis = Redis()
        self.counted: list[tuple[str, int, int]] = []
        fleet: Any = SimpleNamespace(
            clock=SimpleNamespace(monotonic=lambda: self.now),
            source=SimpleNamespace(prefix="bull"),
            workers=lambda: list(workers),
            all_pools=lambda: dict.fromkeys(pool for pool, _ in workers),
            token_prefix=lambda worker: f"inc:{worker.name}:",
        )
        self.duty = Renew(
            fleet,
            self.redis,  # type: ignore[arg-type]
            lambda name, trouble: None,
            lambda *counts: self.counted.append(counts),
        )
        self.fleet = fleet

    async def look(self, passed_s: float = 0.0) -> list[tuple[str, ...]]:
        """Let time pass, run the duty once and let due timers end; return what was sent."""
        self.now += passed_s
        await self.duty.run_once()
        for _ in range(3):
            await asyncio.sleep(0)
        return self.redis.trips[-1]


def renewal(now: float, renewed_at: dict[Pool, float]) -> Renew:
    fleet: Any = SimpleNamespace(
        clock=SimpleNamespace(monotonic=lambda: now), workers=lambda: [(pool, None) for pool in renewed_at]
    )
    renew = Renew(fleet, SimpleNamespace(), lambda name, trouble: None)  # type: ignore[arg-type]
    renew._renewed_at.update(renewed_at)  # type: ignore[arg-type]
    return renew


# --- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lock_s", "ago_s", "pause_s"),
    [(0.6, 0.0, 0.2), (0.6, 0.15, 0.05), (0.6, 5.0, SHORTEST_S), (30.0, 0.0, 10.0), (30.0, 9.9, 0.1)],
)
def test_a_queue_is_renewed_at_a_third_of_its_lock(lock_s, ago_s, pause_s):
    assert renewal(100.0, {Pool(lock_s): 100.0 - ago_s})._pause() == pytest.approx(pause_s)


def test_the_queue_that_is_due_first_counts():
    assert renewal(100.0, {Pool(30.0): 100.0, Pool(0.3): 99.95})._pause() == pytest.approx(0.05)


def test_without_workers_nothing_is_due():
    assert renewal(100.0, {})._pause() == NOTHING_DUE_S


def test_only_the_queues_that_are_due_are_renewed():
    host = Host((Pool(LOCK_S), Worker("1.1", "a")), (Pool(3.0, "sms"), Worker("2.1", "b")))

    async def looks() -> list[list[tuple[str, ...]]]:
        return [await host.look(), await host.look(0.5), await host.look(0.5), await host.look(DUE_S - 1.0)]

    mail, sms = ("mail", "a", "inc:1.1:1"), ("sms", "b", "inc:2.1:1")
    assert asyncio.run(looks()) == [[mail, sms], [], [sms], [mail, sms]]


def test_a_queue_of_whom_a_job_was_cancelled_is_renewed_at_the_next_look():
    host = Host((Pool(LOCK_S), Worker("1.1", "a")), (Pool(LOCK_S, "sms"), Worker("2.1", "b")))

    async def looks() -> list[tuple[str, ...]]:
        await host.look()
        host.fleet.look_for_cancelled("mail")
        return await host.look(0.1)

    assert asyncio.run(looks()) == [("mail", "a", "inc:1.1:1")]


def test_a_renewal_that_redis_did_not_answer_stays_due():
    host = Host((Pool(LOCK_S), Worker("1.1", "a")))

    async def looks() -> list[tuple[str, ...]]:
        host.redis.away = True
        with pytest.raises(RedisUnavailable):
            await host.look()
        host.redis.away = False
        return await host.look(0.1)

    assert asyncio.run(looks()) == [("mail", "a", "inc:1.1:1")]


def test_each_worker_is_shown_when_its_locks_were_renewed_and_not_when_they_were_not():
    idle, spoiled = Worker("1.1"), Worker("2.1", "b")
    host = Host((Pool(LOCK_S), idle), (Pool(LOCK_S, "sms"), spoiled))
    host.redis.spoiled = {"sms"}

    async def looks() -> None:
        with pytest.raises(RedisRefused):
            await host.look()
        host.redis.away = True
        with pytest.raises(RedisUnavailable):
            await host.look(DUE_S)

    asyncio.run(looks())
    assert (idle.renewed_at, spoiled.renewed_at) == (NOW, 0.0)


def test_a_queue_whose_keys_are_spoiled_hides_no_lost_lock_of_another():
    other = Worker("2.1", "b")
    host = Host((Pool(LOCK_S), Worker("1.1", "a")), (Pool(LOCK_S, "sms"), other))
    host.redis.spoiled, host.redis.says = {"mail"}, {"b": Code.LOCK_OF_ANOTHER}

    async def looks() -> list[tuple[str, ...]]:
        with pytest.raises(RedisRefused):
            await host.look()
        host.redis.spoiled = set()
        return await host.look(0.25)

    assert asyncio.run(looks()) == [("mail", "a", "inc:1.1:1")], "only that one is still due"
    assert other.told == [("cancel", 0, "b", 1, None)]


# --- which -----------------------------------------------------------------------------------------------------------


def test_all_jobs_of_all_workers_go_in_one_round_trip_each_with_its_token():
    pool = Pool(LOCK_S)
    host = Host((pool, Worker("1.1", "a", "b")), (pool, Worker("1.2", "c")))
    assert asyncio.run(host.look()) == [
        ("mail", "a", "inc:1.1:1"), ("mail", "b", "inc:1.1:2"), ("mail", "c", "inc:1.2:1")
    ]  # fmt: skip
    assert len(host.redis.trips) == 1
    assert host.counted == [("mail", 2, 0), ("mail", 1, 0)]


def test_the_lock_of_a_job_whose_result_is_not_in_redis_yet_is_kept_too():
    worker = Worker("1.1", "a")
    worker.views[0] = replace(worker.views[0], state=SlotState.RETURNED)
    assert asyncio.run(Host((Pool(LOCK_S), worker)).look()) == [("mail", "a", "inc:1.1:1")]


def test_a_worker_that_is_not_up_or_has_no_board_holds_nothing():
    gone, new = Worker("1.1", "a"), Worker("1.2", "b")
    gone.is_up, new.board = False, None
    pool = Pool(LOCK_S)
    assert asyncio.run(Host((pool, gone), (pool, new)).look()) == []


@pytest.mark.parametrize(
    ("unread_s", "by_prefix"), [(None, False), (DUE_S - 0.1, False), (DUE_S + 0.1, True), (3600.0, True)]
)
def test_what_a_worker_may_hold_by_a_reply_it_has_not_read_is_renewed_by_its_prefix(unread_s, by_prefix):
    worker = Worker("1.1")
    host = Host((Pool(LOCK_S), worker))
    host.now = 5000.0
    worker.turn_sent_at = 0.0 if unread_s is None else host.now - unread_s
    assert asyncio.run(host.look()) == ([("mail", "all of", "inc:1.1:")] if by_prefix else [])
    assert host.counted == []


def test_jobs_that_were_taken_and_have_not_begun_are_renewed_by_prefix():
    worker = Worker("1.1", "a")
    worker.not_begun = 2
    assert asyncio.run(Host((Pool(LOCK_S), worker)).look()) == [
        ("mail", "a", "inc:1.1:1"), ("mail", "all of", "inc:1.1:")
    ]  # fmt: skip


def test_an_id_too_long_for_the_board_is_renewed_by_prefix_and_its_neighbours_by_their_ids():
    worker = Worker("1.1", None, "b")
    assert asyncio.run(Host((Pool(LOCK_S), worker)).look()) == [
        ("mail", "b", "inc:1.1:2"), ("mail", "all of", "inc:1.1:")
    ]  # fmt: skip


def test_the_answers_to_prefixes_are_not_taken_for_answers_about_jobs():
    pool = Pool(LOCK_S)
    first, second = Worker("1.1", None, "a"), Worker("1.2", "b")
    host = Host((pool, first), (pool, second))
    host.redis.says["b"] = Code.MISSING_LOCK
    asyncio.run(host.look())
    assert first.told == []
    assert second.told == [("cancel", 0, "b", 1, None)]


# --- lost and cancelled ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [Code.MISSING_LOCK, Code.LOCK_OF_ANOTHER])
def test_a_job_that_lost_its_lock_is_cancelled_once_and_counted_once(code):
    worker = Worker("1.1", "a", "b")
    host = Host((Pool(LOCK_S), worker))
    host.redis.says["b"] = code

    async def looks() -> None:
        await host.look()
        await host.look(DUE_S)

    asyncio.run(looks())
    assert worker.told == [("cancel", 1, "b", 2, None)]
    assert host.counted == [("mail", 1, 1), ("mail", 1, 0)]


def test_a_cancelled_job_is_told_its_reason_and_its_lock_is_not_lost():
    worker = Worker("1.1", "a")
    host = Host((Pool(LOCK_S), worker))
    host.redis.says["a"] = "wrong order"
    asyncio.run(host.look())
    assert worker.told == [("cancel", 0, "a", 1, "wrong order")]
    assert host.counted == [("mail", 1, 0)]


def test_a_job_that_is_only_missing_is_left_to_its_handler():
    worker = Worker("1.1", "a")
    host = Host((Pool(LOCK_S), worker))
    host.redis.says["a"] = Code.MISSING_JOB
    asyncio.run(host.look())
    assert worker.told == []


def returned(worker: Worker) -> None:
    worker.views[0] = replace(worker.views[0], state=SlotState.RETURNED)


def runs_again(worker: Worker) -> None:
    worker.views[0] = replace(worker.views[0], ats=9)


def another(worker: Worker) -> None:
    worker.views[0] = replace(worker.views[0], job_id="z")


def ended(worker: Worker) -> None:
    worker.is_up = False


def without_board(worker: Worker) -> None:
    worker.board = None


OVER = [returned, runs_again, another, ended, without_board, lambda worker: worker.views.clear()]


@pytest.mark.parametrize("over", OVER)
def test_a_job_that_was_over_before_redis_answered_is_not_cancelled(over):
    worker = Worker("1.1", "a")
    host = Host((Pool(LOCK_S, kill_after_s=0.0), worker))
    host.redis.says["a"] = Code.MISSING_LOCK
    host.redis.meanwhile = lambda: over(worker)
    asyncio.run(host.look())
    assert worker.told == []


def test_a_handler_that_goes_on_without_its_lock_costs_the_worker():
    worker = Worker("1.1", "a")
    host = Host((Pool(LOCK_S, kill_after_s=0.0), worker))
    host.redis.says["a"] = Code.LOCK_OF_ANOTHER
    asyncio.run(host.look())
    assert worker.told[1:] == [("kill", Ending.LOCK_LOST, "job a lost its lock and did not stop")]
    assert worker.overdue == []


def test_a_handler_that_goes_on_although_cancelled_costs_the_worker_and_the_job_is_named():
    worker = Worker("1.1", "a")
    host = Host((Pool(LOCK_S, kill_after_s=0.0), worker))
    host.redis.says["a"] = "wrong order"
    asyncio.run(host.look())
    assert worker.told[1:] == [("kill", Ending.CANCELLED, "job a was cancelled and did not stop")]
    assert worker.overdue == worker.views


@pytest.mark.parametrize("over", OVER)
def test_a_handler_that_let_go_in_time_costs_nothing(over):
    worker = Worker("1.1", "a")
    host = Host((Pool(LOCK_S, kill_after_s=0.0), worker))
    host.redis.says["a"] = Code.LOCK_OF_ANOTHER
    tell = worker.cancel

    def obey(slot: int, job_id: str, ats: int, reason: str | None) -> None:
        tell(slot, job_id, ats, reason)
        over(worker)

    worker.cancel = obey  # type: ignore[method-assign]
    asyncio.run(host.look())
    assert [what for what, *_ in worker.told] == ["cancel"]


def test_a_renewal_that_is_asked_for_does_not_wait_until_it_is_due_and_names_what_was_refused():
    async def scene():
        first, second = Pool(LOCK_S), Pool(LOCK_S, "video")
        host = Host((first, Worker("w1", "a")), (second, Worker("w2", "b")))
        await host.look()
        assert await host.duty.renew_now({"video"}) == set()
        assert host.redis.trips[-1] == [("video", "b", "inc:w2:1")]
        host.redis.spoiled = {"mail"}
        assert await host.duty.renew_now({"mail", "video"}) == {"mail"}

    asyncio.run(scene())
