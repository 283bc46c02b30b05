"""How often a worker's memory is looked at: it can never have grown far beyond its limit."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties import memory
from jobd.daemon.duties.duty import NOTHING_DUE_S
from jobd.daemon.duties.memory import MemoryLimits, pause_s

MB = 10**6


class Worker:
    """A worker that takes 100 MB in each look."""

    pid = 1
    is_up = True

    def __init__(self) -> None:
        self.board = SimpleNamespace(busy=1)
        self.killed: list[str] = []
        self.used = 60 * MB

    def kill(self, ending: object, cause: str) -> None:
        self.killed.append(cause)
        self.is_up = False


@pytest.mark.parametrize(
    ("left", "is_busy", "pause"),
    [
        (8_000 * MB, True, 1.0),
        (1_000 * MB, True, 0.5),
        (100 * MB, True, 0.1),
        (0, True, 0.1),
        (100 * MB, False, 0.25),
    ],
)
def test_the_less_is_left_the_sooner_is_the_next_look(left: int, is_busy: bool, pause: float) -> None:
    assert pause_s(left, is_busy=is_busy) == pause


def test_it_is_killed_at_the_first_look_that_finds_it_over_and_looked_at_only_when_it_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, looks, now = Worker(), [0], [0.0]

    def used(_: int) -> int:
        looks[0] += 1
        return worker.used

    monkeypatch.setattr(memory, "memory_bytes", used)
    pool: Any = SimpleNamespace(name="mail", queue=SimpleNamespace(memory_max_bytes=300 * MB))
    clock = SimpleNamespace(monotonic=lambda: now[0])
    fleet: Any = SimpleNamespace(workers=lambda: [(pool, worker)], all_pools=lambda: [pool], clock=clock)
    duty = MemoryLimits(fleet)
    assert asyncio.run(duty.run_once()) == pytest.approx(0.12)
    now[0] = 0.06
    assert asyncio.run(duty.run_once()) == pytest.approx(0.06)
    assert looks == [1]
    now[0], worker.used = 0.13, 420 * MB
    asyncio.run(duty.run_once())
    assert worker.killed == ["out of memory: 420MB used, memory_max is 300MB"]
    assert asyncio.run(duty.run_once()) == 1.0
    pool.queue.memory_max_bytes = None
    assert asyncio.run(duty.run_once()) == NOTHING_DUE_S
