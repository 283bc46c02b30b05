"""When a lock that is not there is taken for lost: not right after Redis's clock was set forward."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties import stalled
from jobd.daemon.duties.duty import NOTHING_DUE_S
from jobd.daemon.duties.stalled import Stalled
from jobd.errors import RedisRefused


class World:
    """A fleet with one queue, whose lock lives for 6 s, and a Redis with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.redis_s = 100.0, 5_000.0
        self.recovers: list[bool] = []
        queue = SimpleNamespace(stalled_interval_ms=1000, max_crashes=1, lock_duration_ms=6000)
        clock = SimpleNamespace(monotonic=lambda: self.now, now_ms=lambda: 0)
        fleet: Any = SimpleNamespace(
            pools={"mail": SimpleNamespace(name="mail", queue=queue)},
            clock=clock,
            source=SimpleNamespace(prefix="bull"),
        )
        monkeypatch.setattr(stalled, "server_time", lambda: "time")
        monkeypatch.setattr(stalled, "check_stalled", self.check)
        self.asked: list[str] = []
        self.spoiled: set[str] = set()
        self.renewed: list[set[str]] = []
        self.not_renewed: set[str] = set()
        self.outage = (float("-inf"), 0.0)
        self.duty = Stalled(
            fleet, self, lambda duty, trouble: None, self.renew, lambda: self.outage,  # type: ignore[arg-type]
        )  # fmt: skip
        self.refuses = False

    def check(self, keys: Any, *, recovers: bool, **_: Any) -> bool:
        self.asked.append(keys.queue)
        return recovers

    def add(self, name: str) -> None:
        """Let the host serve one more queue."""
        pools = self.duty._fleet.pools
        pools[name] = SimpleNamespace(name=name, queue=pools["mail"].queue)  # type: ignore[assignment]

    async def renew(self, queues: Any) -> set[str]:
        self.renewed.append(set(queues))
        return self.not_renewed

    async def run(self, command: Any) -> float:
        assert command == "time"
        if self.refuses:
            raise RedisRefused("no permissions")
        return self.redis_s

    async def run_each(self, commands: list[Any]) -> list[Any]:
        self.recovers += commands
        return [[] if name not in self.spoiled else RedisRefused("WRONGTYPE") for name in self.asked]

    def pause(self) -> float:
        """Let it look; return for how long nobody needs to."""
        self.asked.clear()
        return asyncio.run(self.duty.run_once())

    def look(self, after_s: float, *, stepped_s: float = 0.0) -> bool:
        """Let time pass, have it look, and return whether what it found unlocked was recovered."""
        self.asked.clear()
        self.now += after_s
        self.redis_s += after_s + stepped_s
        asyncio.run(self.duty.run_once())
        return self.recovers[-1]


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def world(starting: World) -> World:
    """A host that has been there for a while."""
    starting.look(0.0)
    starting.now += 60.0
    starting.redis_s += 60.0
    return starting


def test_with_a_clock_that_goes_as_it_should_lost_locks_are_lost(world: World) -> None:
    assert [world.look(after) for after in (0.0, 1.0, 1.2, 30.0)] == [True] * 4


def test_at_the_start_every_host_may_renew_first(starting: World) -> None:
    """Redis's clock may have been set, or Redis been away, just before."""
    assert [starting.look(after) for after in (0.0, 1.0, 1.5, 1.0)] == [False, False, False, True]


def test_it_sleeps_until_the_next_queue_is_due_and_looks_soon_at_one_that_is_new(world: World) -> None:
    world.look(0.0)
    world.now += 0.4
    assert world.pause() == pytest.approx(0.6)
    world.now += 0.6
    assert world.pause() == pytest.approx(1.0)
    world.duty._fleet.pools.clear()
    assert world.pause() == NOTHING_DUE_S


def test_a_queue_whose_renewal_is_refused_is_tried_again_soon(world: World) -> None:
    world.not_renewed = {"mail"}
    assert 0 < world.pause() < 1


@pytest.mark.parametrize("step_s", [5.0, 3600.0])
def test_after_a_step_forward_every_host_may_renew_first(world: World, step_s: float) -> None:
    world.look(0.0)
    assert not world.look(1.0, stepped_s=step_s)
    assert not world.look(1.0)
    assert not world.look(1.0)
    assert world.look(1.1)


@pytest.mark.parametrize(
    ("away_s", "lock_ms", "looks"), [(0.5, 6000, False), (5.0, 30_000, True), (20.0, 30_000, False)]
)
def test_after_an_outage_in_which_locks_may_have_run_out_every_host_may_renew_first(
    world: World, away_s: float, lock_ms: int, looks: bool
) -> None:
    world.duty._fleet.pools["mail"].queue.lock_duration_ms = lock_ms
    world.look(0.0)
    world.outage = (world.now + 1.0, away_s)
    assert world.look(1.0) == looks
    assert world.look(lock_ms / 2000 - 0.1) == looks
    assert world.look(1.0)


def test_a_step_back_and_a_host_that_was_slow_change_nothing(world: World) -> None:
    world.look(0.0)
    assert world.look(1.0, stepped_s=-3600.0)
    assert world.look(1.0, stepped_s=0.4)


def test_a_redis_that_does_not_tell_its_time_is_checked_all_the_same(world: World) -> None:
    world.refuses = True
    assert [world.look(after) for after in (0.0, 1.0)] == [True, True]


def test_what_this_host_holds_is_renewed_first_and_where_that_is_refused_nothing_is_looked_for(starting: World) -> None:
    starting.look(0.0)
    starting.look(0.5)
    assert starting.renewed == [{"mail"}], "a check that is not due renews nothing"
    starting.not_renewed = {"mail"}
    checks = len(starting.recovers)
    starting.look(1.0)
    assert (starting.renewed[1:], len(starting.recovers)) == ([{"mail"}], checks)


def test_a_queue_that_redis_refuses_costs_the_others_no_check_and_is_tried_again(starting: World) -> None:
    starting.add("sms")
    starting.spoiled = {"mail"}
    with pytest.raises(RedisRefused):
        starting.look(0.0)
    assert starting.asked == ["mail", "sms"]
    starting.spoiled.clear()
    starting.look(0.1)
    assert starting.asked == ["mail"], "sms is not due"
