"""Worker threads: started as needed, interrupted in the right attempt, none left over in the next."""

from __future__ import annotations

import asyncio
import json
import threading

from jobd.engine.states import Outcome
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
            bench.start(taken(str(number), number))
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
