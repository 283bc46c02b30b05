"""A fault of jobd's own beside the fetch loop is told, whatever runs it; the application's faults stay its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jobd.worker import internal_errors
from tests.unit.worker.run.bench import Bench, taken


async def fault_of(scene: Callable[[], Any]) -> BaseException:
    """Return the fault that is told after `scene`."""
    died: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    internal_errors.watch(asyncio.get_running_loop(), died.set_result)
    result = scene()
    if asyncio.iscoroutine(result):
        await result
    return await asyncio.wait_for(died, 10)


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def breaks(*_: object) -> None:
    raise RuntimeError("of jobd's own")


def at_a_limit_of_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    bench = Bench("together", batch_max=2, batch_wait_ms=5)

    def scene() -> None:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        bench.start(taken("1"))

    return scene


def while_it_is_collected(handler: str) -> Callable[[pytest.MonkeyPatch], Callable[[], Any]]:
    def prepare(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
        bench = Bench(handler)
        monkeypatch.setattr(bench.slots, "_gone", breaks)
        return lambda: bench.start(taken("1"))

    return prepare


def while_it_ends(handler: str) -> Callable[[pytest.MonkeyPatch], Callable[[], Any]]:
    def prepare(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
        bench = Bench(handler)
        monkeypatch.setattr(bench.board, "returned", breaks)
        return lambda: bench.start(taken("1"))

    return prepare


def while_the_next_iteration_is_made(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    bench = Bench("echo")
    monkeypatch.setattr(bench.slots, "_producer", breaks)
    return lambda: bench.start(taken("1", scheduler_id="nightly"))


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(at_a_limit_of_threads, id="a batch's timer at a limit of threads"),
        pytest.param(while_it_is_collected("echo"), id="collecting what a thread ran"),
        pytest.param(while_it_is_collected("aecho"), id="collecting what a coroutine ran"),
        pytest.param(while_it_ends("fail"), id="ending a run in its thread"),
        pytest.param(while_it_ends("afail"), id="ending a coroutine's run"),
        pytest.param(while_the_next_iteration_is_made, id="a scheduler's next iteration"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_beside_the_fetch_loop_is_not_only_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], Callable[[], Any]]
) -> None:
    async def main() -> BaseException:
        return await fault_of(prepare(monkeypatch))

    assert isinstance(asyncio.run(main()), RuntimeError)


def test_a_callback_of_the_application_is_its_own_matter() -> None:
    async def main() -> list[BaseException]:
        loop, seen = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
        internal_errors.watch(loop, lambda error: pytest.fail(f"told as jobd's own: {error}"))
        loop.call_soon(breaks)
        while not seen:
            await asyncio.sleep(0)
        return seen

    assert [str(error) for error in asyncio.run(main())] == ["of jobd's own"]
