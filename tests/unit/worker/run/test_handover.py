"""Runs between the loop and its threads: told together where they are short, nobody kept waiting where they are not."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from jobd.worker.run.handover import Handover

Run = Callable[[], None]


class Threads:
    """So many threads that serve callables; `collected` are those the loop has heard of."""

    def __init__(self, count: int, *, quick: bool) -> None:
        self.collected: list[Run] = []
        self.times_told = 0
        self._quick = quick
        self._changed = asyncio.Event()
        self.handover: Handover[Run] = Handover(asyncio.get_running_loop(), self._collect)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while (run := self.handover.next()) is not None:
            run()
            self.handover.through(run)

    def _collect(self, through: deque[Run]) -> bool:
        self.times_told += 1
        while through:
            self.collected.append(through.popleft())
        self._changed.set()
        return self._quick

    async def until_collected(self, *runs: Run) -> None:
        async with asyncio.timeout(10):
            while not all(run in self.collected for run in runs):
                self._changed.clear()
                await self._changed.wait()

    def end(self) -> None:
        for _ in self._threads:
            self.handover.put(None)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


async def _learn(threads: Threads) -> None:
    """Let it know by one run whether runs are quick."""

    def first() -> None: ...

    threads.handover.put(first)
    await threads.until_collected(first)


def _short() -> Run:
    return lambda: None


def _waits(gate: threading.Event, seconds: float = 10) -> Run:
    """A run that gives the GIL away."""

    def run() -> None:
        gate.wait(seconds)

    return run


@pytest.mark.parametrize("quick", [False, True])
def test_what_waits_behind_a_run_that_blocks_is_served_by_another_thread(quick: bool) -> None:
    async def scene() -> None:
        threads, gate = Threads(4, quick=quick), threading.Event()
        await _learn(threads)
        blocks = [_waits(gate) for _ in range(3)]
        last = _short()
        for run in (*blocks, last):
            threads.handover.put(run)
        await threads.until_collected(last)
        assert not set(blocks) & set(threads.collected)
        gate.set()
        await threads.until_collected(*blocks)
        threads.end()

    asyncio.run(scene())


@pytest.mark.parametrize("quick", [False, True])
def test_what_is_through_is_told_though_its_thread_went_on_with_a_run_that_blocks(quick: bool) -> None:
    async def scene() -> None:
        threads, gate = Threads(3, quick=quick), threading.Event()
        await _learn(threads)
        short, blocks = _short(), _waits(gate)
        threads.handover.put(short)
        threads.handover.put(blocks)
        await threads.until_collected(short)
        assert blocks not in threads.collected
        gate.set()
        await threads.until_collected(blocks)
        threads.end()

    asyncio.run(scene())


@pytest.mark.parametrize("quick", [False, True])
def test_no_run_is_lost_or_kept_untold_whatever_the_threads_meet(quick: bool) -> None:
    async def scene() -> None:
        threads = Threads(8, quick=quick)
        pause = threading.Event()
        for number in range(300):
            # Some give the GIL away in the middle, some do not; at most eight are on their way at once.
            runs = [_short() if (number + each) % 3 else _waits(pause, 0.0005) for each in range(8)]
            for run in runs:
                threads.handover.put(run)
            await threads.until_collected(*runs)
        assert len(threads.collected) == 300 * 8
        threads.end()

    asyncio.run(scene())


class Loop:
    """Remembers what it is asked for, and calls nothing."""

    def __init__(self) -> None:
        self.soon: list[Any] = []
        self.later: list[Any] = []
        self.told = threading.Event()

    def call_soon_threadsafe(self, call: Any) -> None:
        self.soon.append(call)
        self.told.set()

    def call_later(self, seconds: float, call: Any) -> Any:
        del seconds
        self.later.append(call)
        return object()


def test_the_loop_is_told_once_of_a_thread_that_goes_on_with_what_waits() -> None:
    loop = Loop()
    handover: Handover[str] = Handover(loop, lambda through: not through.clear())  # type: ignore[arg-type]
    handover.put("first")
    handover.through(handover.next() or "")
    waits = threading.Thread(target=handover.next, daemon=True)
    waits.start()
    assert loop.told.wait(10)
    loop.soon.pop()()  # runs are quick, it learns
    handover.put(None)
    waits.join(10)
    for number in range(5):
        handover.put(str(number))
    assert len(loop.later) == 1  # one look for all of them
    for _ in range(5):
        handover.through(handover.next() or "")
    assert loop.soon == []
    waits = threading.Thread(target=handover.next, daemon=True)
    loop.told.clear()
    waits.start()
    assert loop.told.wait(10)
    assert len(loop.soon) == 1
    handover.put(None)
    waits.join(10)
