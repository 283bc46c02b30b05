"""Runs between the loop and its threads: told together where they are short, nobody kept waiting where they are not."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from jobd.worker.run import handover as module
from jobd.worker.run.handover import QUICK_IN_A_ROW, Handover

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
        for run in self.handover.runs():
            run()

    def _collect(self, through: deque[Run]) -> tuple[int, int]:
        self.times_told += 1
        count = len(through)
        while through:
            self.collected.append(through.popleft())
        self._changed.set()
        return (count, 0) if self._quick else (0, count)

    def serve(self, *runs: Run) -> None:
        for run in runs:
            self.handover.put(run)
        self.handover.go()

    async def until_collected(self, *runs: Run) -> None:
        async with asyncio.timeout(10):
            while not all(run in self.collected for run in runs):
                self._changed.clear()
                await self._changed.wait()

    def end(self) -> None:
        for _ in self._threads:
            self.handover.put(None)
        self.handover.go()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


async def _learn(threads: Threads) -> None:
    """Let it know by one run whether runs are quick."""

    def first() -> None: ...

    threads.serve(first)
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
        threads.serve(*blocks, last)
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
        threads.serve(short, blocks)
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
            threads.handover.go_and_wait()
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


class Scene:
    """A handover whose loop this thread plays, and threads that serve it."""

    def __init__(self, threads: int = 1) -> None:
        self.loop = Loop()
        self.collected: list[Run] = []
        self.handover: Handover[Run] = Handover(self.loop, self._collect)  # type: ignore[arg-type]
        self._threads: list[threading.Thread] = []
        self.start(threads)

    def start(self, threads: int) -> None:
        for _ in range(threads):
            self._threads.append(threading.Thread(target=self._serve, daemon=True))
            self._threads[-1].start()

    def _serve(self) -> None:
        for run in self.handover.runs():
            run()

    def _collect(self, through: deque[Run]) -> tuple[int, int]:
        count = len(through)
        while through:
            self.collected.append(through.popleft())
        return count, 0

    def put(self, *runs: Run) -> None:
        for run in runs:
            self.handover.put(run)

    def until_told(self) -> None:
        assert self.loop.told.wait(10)
        self.loop.told.clear()
        self.loop.soon.pop()()

    def learn(self, count: int = QUICK_IN_A_ROW) -> None:
        """Let it see so many quick runs."""
        for _ in range(count):
            self.put(_short())
            self.handover.go_and_wait()
            self.until_told()
        while self.loop.later:
            self.loop.later.pop()()
        self.collected.clear()

    def end(self) -> None:
        for _ in self._threads:
            self.handover.put(None)
        self.handover.go()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


def test_the_loop_is_told_once_of_a_thread_that_goes_on_with_what_waits() -> None:
    scene = Scene()
    scene.learn(1)
    scene.put(*(_short() for _ in range(5)))
    scene.handover.go()
    scene.until_told()
    assert len(scene.collected) == 5
    assert len(scene.loop.later) == 1  # one look for all of them
    assert scene.loop.soon == []
    scene.end()


def test_after_many_quick_runs_the_loop_waits_for_them_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 60)
    scene = Scene()
    scene.learn()
    for _ in range(3):
        runs = [_short() for _ in range(5)]
        scene.put(*runs)
        scene.handover.go_and_wait()
        assert scene.collected == runs
        scene.collected.clear()
    assert (scene.loop.soon, scene.loop.later) == ([], [])
    scene.end()


def test_a_slow_run_holds_the_loop_up_once_and_what_waits_behind_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    scene, gate = Scene(threads=2), threading.Event()
    scene.learn()
    blocks, behind = _waits(gate), _short()
    scene.put(blocks, behind)
    scene.handover.go_and_wait()
    while behind not in scene.collected:
        scene.until_told()
    assert blocks not in scene.collected
    monkeypatch.setattr(module, "WAIT_S", 60)
    # Served by the other thread, which nobody waits for.
    scene.put(_waits(gate))
    scene.handover.go_and_wait()
    assert scene.collected == [behind]
    gate.set()
    while len(scene.collected) < 3:
        scene.until_told()
    scene.end()


class LateAnswer:
    """The lock of the answer, for a wait that ends in the moment in which a thread is about to answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._answers = threading.Event()

    def acquire(self, timeout: float = -1) -> bool:
        if timeout < 0:
            return self._lock.acquire()
        assert self._answers.wait(10)
        return False

    def release(self) -> None:
        self._answers.set()
        self._lock.release()


def test_an_answer_in_the_moment_in_which_the_wait_ends_is_taken_and_not_left_for_the_next_wait() -> None:
    scene = Scene()
    scene.learn()
    answer = LateAnswer()
    scene.handover._answer = answer  # type: ignore[assignment]
    run = _short()
    scene.put(run)
    scene.handover.go_and_wait()
    assert scene.collected == [run]
    assert answer._lock.locked()
    assert scene.loop.soon == []
    scene.end()


def test_the_loop_does_not_wait_for_what_was_told_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 60)
    scene = Scene()
    scene.learn()
    scene.put(_short())
    scene.handover.go()
    assert scene.loop.told.wait(10)
    scene.put(_short())
    scene.handover.go_and_wait()  # no thread tells until the loop has collected
    while len(scene.collected) < 2:
        scene.until_told()
    scene.end()


def test_what_comes_in_the_moment_in_which_the_last_thread_goes_to_rest_is_served() -> None:
    scene, comes = Scene(threads=0), _short()
    came: list[Run] = []

    class Idle(list[Any]):
        """The loop has something to do right before a bell is there that it could ring."""

        def append(self, bell: Any) -> None:
            if not came:
                came.append(comes)
                scene.put(comes)
                scene.handover.go()
            super().append(bell)

    scene.handover._idle = Idle()
    scene.start(1)
    scene.until_told()
    assert scene.collected == [comes]
    scene.end()
