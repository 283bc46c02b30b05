"""Tasks whose first step runs where they are made are tasks like all others."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from jobd.worker.run.first_step import FirstSteps

mark = contextvars.ContextVar("mark", default="outside")


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made: asyncio.AbstractEventLoop = request.param()
    try:
        yield made
    finally:
        made.close()


def in_callback(loop: asyncio.AbstractEventLoop, act: Callable[[FirstSteps], Awaitable[Any]]) -> Any:
    """Call `act` where no task runs, as for bytes that came in, and return what it returns an awaitable of."""

    async def main() -> Any:
        made: asyncio.Future[Awaitable[Any]] = loop.create_future()

        def callback() -> None:
            try:
                made.set_result(act(FirstSteps(loop)))
            except BaseException as error:
                made.set_exception(error)

        loop.call_soon(callback)
        return await (await made)

    return loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_what_awaits_nothing_is_over_at_once_as_a_task_with_a_context_of_its_own(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[Any] = []

    async def work() -> None:
        seen.append(asyncio.current_task())
        mark.set("inside")

    def act(first: FirstSteps) -> Awaitable[None]:
        task = first.begin(work())
        assert seen == [task]
        assert task.done()
        assert mark.get() == "outside"
        assert asyncio.current_task(loop) is None
        return task

    in_callback(loop, act)


def test_what_waits_goes_on_as_the_same_task_in_the_same_context(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[Any] = []

    async def work() -> None:
        mark.set("inside")
        seen.append(asyncio.current_task())
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        seen.append((asyncio.current_task(), mark.get()))

    def act(first: FirstSteps) -> Awaitable[None]:
        task = first.begin(work())
        assert not task.done()
        assert task in asyncio.all_tasks(loop)
        return task

    in_callback(loop, act)
    assert seen == [seen[0], (seen[0], "inside")]


def test_time_limit_of_its_first_await_holds(loop: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()

    in_callback(loop, lambda first: first.begin(work()))


def test_cancel_reaches_what_it_waits_for(loop: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    def act(first: FirstSteps) -> Awaitable[None]:
        task = first.begin(work())
        task.cancel()
        return task

    with pytest.raises(asyncio.CancelledError):
        in_callback(loop, act)


def test_what_it_raises_is_the_tasks(loop: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        raise LookupError("its own")

    def act(first: FirstSteps) -> Awaitable[None]:
        task = first.begin(work())
        assert task.done()
        return task

    with pytest.raises(LookupError, match="its own"):
        in_callback(loop, act)


def test_tasks_that_it_makes_are_scheduled_as_ever(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[str] = []

    async def inner() -> None:
        seen.append("inner")

    async def work() -> None:
        task = asyncio.create_task(inner())
        seen.append("outer")
        await task

    in_callback(loop, lambda first: first.begin(work()))
    assert seen == ["outer", "inner"]


def test_inside_of_another_task_the_step_comes_later(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("work")

    async def main() -> None:
        task = FirstSteps(loop).begin(work())
        seen.append("main")
        await task

    loop.run_until_complete(main())
    assert seen == ["main", "work"]


def test_task_factory_of_the_application_makes_them(loop: asyncio.AbstractEventLoop) -> None:
    made: list[Any] = []

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Any:
        made.append(work)
        return asyncio.Task(work, loop=loop, **more)

    async def work() -> None: ...

    def act(first: FirstSteps) -> Awaitable[None]:
        loop.set_task_factory(factory)
        return first.begin(work())

    in_callback(loop, act)
    assert len(made) == 1
