"""Worker threads: started as needed, interrupted in the right attempt, none left over in the next."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from jobd.engine.states import Outcome
from jobd.worker.run import handover
from jobd.worker.run.attempt import Interruption
from tests.unit.worker.run import handlers
from tests.unit.worker.run.bench import Bench, taken


def test_threads_are_as_many_as_jobs_ran_at_once() -> None:
    async def scene() -> None:
        handlers.gate.clear()
        bench = Bench("wait", concurrency=3)
        bench.start(taken("1"), taken("2"), taken("3"))
        await bench.until(lambda: len(bench.board.shown) == 3)
        handlers.gate.set()
        bench.slots.settle(await bench.ended(3))
        names = {thread.name for thread in threading.enumerate() if thread.name.startswith("jobd-thread-")}
        bench.start(taken("4"), taken("5"))
        await bench.ended(2)
        assert {thread.name for thread in threading.enumerate() if thread.name.startswith("jobd-thread-")} == names

    asyncio.run(scene())


def test_interruption_never_hits_the_next_job_of_the_thread() -> None:
    async def scene() -> None:
        bench = Bench("echo")
        for number in range(200):
            bench.slots.start([taken(str(number), number)], 1_000_000)
            bench.slots.threads.go(alone=False)  # not waited for, however quick it is
            (attempt,) = bench.slots.running.values()
            bench.slots.interrupt(attempt, Interruption.CANCELLED)
            (attempt,) = await bench.ended()
            assert attempt.finish is not None
            assert attempt.finish.outcome in (Outcome.COMPLETED, Outcome.FAILED)
            bench.slots.settle([attempt])
            bench.start(taken(f"after-{number}", number))
            (attempt,) = await bench.ended()
            assert attempt.finish is not None
            assert json.loads(attempt.finish.value) == number
            bench.slots.settle([attempt])

    asyncio.run(scene())


async def _learn(bench: Bench) -> None:
    """Show that handlers are quick, all threads being there; runs of this machine's slow moments do not count."""
    jobs = [taken(f"quick-{number}") for number in range(bench.numbers.concurrency)]
    while bench.slots.threads._handover._in_a_row < handover.QUICK_IN_A_ROW:
        bench.start(*jobs)
        bench.slots.settle(await bench.ended(len(jobs)))


def test_quick_handlers_in_threads_are_through_where_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "WAIT_S", 60)

    async def scene() -> None:
        bench = Bench("echo", concurrency=5)
        await _learn(bench)
        bench.start(*(taken(str(number), number) for number in range(5)))
        ended = bench.slots.collect()
        assert [json.loads(attempt.finish.value) for attempt in ended if attempt.finish] == [0, 1, 2, 3, 4]

    asyncio.run(scene())


def test_jobs_that_wait_after_many_quick_ones_run_side_by_side_and_are_interrupted() -> None:
    async def scene() -> None:
        handlers.gate.clear()
        bench = Bench("quick_or_wait", concurrency=3, timeout_ms=60_000)
        await _learn(bench)
        bench.board.shown.clear()
        bench.start(*(taken(str(number), "wait") for number in range(3)))
        await bench.until(lambda: len(bench.board.shown) == 3)
        assert len(bench.slots.running) == 3
        (first, *_) = bench.slots.running.values()
        bench.slots.interrupt(first, Interruption.TIMED_OUT)
        handlers.gate.set()
        ended = {attempt: attempt.finish and attempt.finish.outcome for attempt in await bench.ended(3)}
        assert ended.pop(first) is Outcome.FAILED
        assert list(ended.values()) == [Outcome.COMPLETED] * 2

    asyncio.run(scene())
