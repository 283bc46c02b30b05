"""The end of an application's teardown: it comes, or the worker ends without it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import pytest

from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.user_code import UserCode


def user_code(teardown: Any) -> UserCode:
    return UserCode(cast("JobPolicies", None), [], None, None, teardown)


def nobody() -> None:
    raise AssertionError("given up")


def test_a_teardown_that_never_ends_is_cancelled_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    cleaned = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    asyncio.run(user_code(hangs).tear_down(nobody, limit_s=0.01))
    assert cleaned == ["up"]
    assert "teardown failed: not over after 0.01s" in capfd.readouterr().err


def test_one_that_goes_on_although_cancelled_is_given_up() -> None:
    async def stubborn(over: asyncio.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    async def life() -> None:
        over = asyncio.Event()
        await user_code(lambda: stubborn(over)).tear_down(over.set, limit_s=0.01)

    asyncio.run(asyncio.wait_for(life(), 30))


@pytest.mark.parametrize("teardown", [None, lambda: None], ids=["none", "def"])
def test_nothing_is_given_up_behind_one_that_ended(teardown: Any) -> None:
    async def life() -> None:
        loop = asyncio.get_running_loop()
        later: list[float] = []
        call_later = loop.call_later
        timers = []

        def watched(delay: float, *args: Any, **more: Any) -> asyncio.TimerHandle:
            later.append(delay)
            timers.append(call_later(delay, *args, **more))
            return timers[-1]

        loop.call_later = watched  # type: ignore[method-assign]
        await user_code(teardown).tear_down(nobody)
        assert later
        assert all(timer.cancelled() for timer in timers)

    asyncio.run(life())
