"""Recurring work: starts and stops at any time, survives what it raises."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from jobd.daemon.duties.duty import Duty, next_time, shown_refusal
from jobd.errors import RedisRefused, RedisUnavailable


class Counting(Duty):
    """Raises what it is given, one after another, then only counts."""

    name = "counting"

    def __init__(self, *raises: Exception) -> None:
        self.told: list[str | None] = []
        super().__init__(lambda name, trouble: self.told.append(trouble))
        self.runs = 0
        self._raises = list(raises)

    async def run_once(self) -> float:
        self.runs += 1
        if self._raises:
            raise self._raises.pop(0)
        return 0.001


async def until_runs(duty: Counting, count: int) -> None:
    async with asyncio.timeout(10):
        while duty.runs < count:
            await asyncio.sleep(0.001)


def test_it_runs_again_and_again_until_it_is_stopped():
    async def work() -> None:
        duty = Counting()
        await duty.stop()
        duty.start()
        duty.start()
        await until_runs(duty, 3)
        await asyncio.gather(duty.stop(), duty.stop())
        runs = duty.runs
        await asyncio.sleep(0.01)
        assert duty.runs == runs
        duty.start()
        await until_runs(duty, runs + 1)
        await duty.stop()

    asyncio.run(work())


@pytest.mark.parametrize(
    "error", [RedisUnavailable("gone"), RedisRefused("OOM command not allowed"), ValueError("bug")]
)
def test_it_goes_on_after_an_error(error):
    async def work() -> None:
        duty = Counting(error)
        duty.start()
        await until_runs(duty, 2)
        await duty.stop()

    asyncio.run(work())


def test_what_redis_refuses_is_told_until_it_works_again():
    async def work() -> list[str | None]:
        duty = Counting(RedisRefused("command not allowed", trouble="memory full"))
        await duty._once()
        await duty._once()
        return duty.told

    assert asyncio.run(work()) == ["memory full", None]


def test_an_unknown_refusal_is_shown_in_its_own_words():
    assert shown_refusal(RedisRefused("Redis refused: ERR odd\nmore")) == "Redis refused: ERR odd"


def test_a_duty_that_swallows_one_cancel_is_stopped_all_the_same():
    class Swallowing(Counting):
        async def run_once(self) -> float:
            self.runs += 1
            if self.runs == 1:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
            return 60.0

    async def work() -> None:
        duty = Swallowing()
        duty.start()
        await until_runs(duty, 1)
        async with asyncio.timeout(30):
            await duty.stop()

    asyncio.run(work())


# --- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "pause_s", "at"), [(7.0, 1.0, 8.0), (7.9, 1.0, 8.0), (7.3, 5.0, 12.0), (7.9, 0.25, 8.15), (7.5, 0.0, 7.5)]
)
def test_pauses_of_a_second_and_more_end_together_and_shorter_ones_when_they_say(now: float, pause_s: float, at: float):
    assert next_time(now, pause_s) == pytest.approx(at)


class Resting(Counting):
    """Has nothing to do for an hour; may be held at work."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def run_once(self) -> float:
        self.runs += 1
        self.at_work.set()
        await self.free.wait()
        return 3600.0


def test_who_is_asked_looks_although_it_rests():
    async def work() -> None:
        duty = Resting()
        duty.start()
        await until_runs(duty, 1)
        await asyncio.sleep(0)
        duty.look_within(1800.0)
        duty.look_within(0.01)
        duty.look_within(900.0)
        await until_runs(duty, 2)
        await duty.stop()

    asyncio.run(work())


def test_who_is_asked_while_at_work_looks_once_more():
    async def work() -> None:
        duty = Resting()
        duty.free.clear()
        duty.start()
        await duty.at_work.wait()
        duty.look_within(0.01)
        duty.look_within(1800.0)
        duty.free.set()
        await until_runs(duty, 2)
        await duty.stop()

    asyncio.run(work())


def test_a_burst_of_changes_is_one_look():
    async def work() -> int:
        duty = Resting()
        duty.start()
        await until_runs(duty, 1)
        for _ in range(1000):
            duty.look_within(0.01)
            await asyncio.sleep(0)
        await until_runs(duty, 2)
        await duty.stop()
        return duty.runs

    assert asyncio.run(work()) < 100


def test_asking_one_that_does_not_run_is_harmless():
    duty = Resting()
    duty.look_within()
    asyncio.run(duty.stop())
    assert duty.runs == 0
