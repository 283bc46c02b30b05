"""Slots with a board that remembers, and jobs as a turn brings them: no process, no Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from jobd.engine.job import Keep, Taken
from jobd.protocol.counts import SIZE, CountsReader, CountsWriter
from jobd.protocol.worker import HandlerSpec, Numbers
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.on_failed import OnFailed
from jobd.worker.handlers.wraps import Wrap
from jobd.worker.run.attempt import Attempt
from jobd.worker.run.slots import Slots

HERE = "tests.unit.worker.run.handlers"


class Board:
    """Remembers what the worker shows."""

    def __init__(self) -> None:
        self.shown: dict[int, tuple[Any, ...]] = {}
        self.ended: list[int] = []
        self.cleared: list[int] = []
        self.busy_now = 0
        self.failures: list[bool] = []
        memory = memoryview(bytearray(SIZE))
        self.counts = CountsWriter(memory)
        self.counted = CountsReader(memory)

    def run(self, slot: int, *facts: Any) -> None:
        self.shown[slot] = facts

    def returned(self, slot: int) -> None:
        self.ended.append(slot)

    def clear(self, slot: int) -> None:
        self.cleared.append(slot)

    def busy(self, count: int) -> None:
        self.busy_now = count

    def count_run(self, seconds: float, failed: bool) -> None:
        del seconds
        self.failures.append(failed)


def numbers(handler: str | None, *, concurrency: int = 1, **more: Any) -> Numbers:
    """The numbers of a queue whose default handler is one of this folder's; `more` as in HandlerSpec or Numbers."""
    spec = {name: more.pop(name) for name in list(more) if name in HandlerSpec.__dataclass_fields__}
    default = HandlerSpec(f"{HERE}:{handler}", **spec) if handler else None
    fields = {"limiter_max": None, "limiter_duration_ms": None, "unknown": "fail", "jobs": {}, **more}
    return Numbers(concurrency, 30_000, Keep(), Keep(), default=default, **fields)


def taken(job_id: str = "1", data: Any = None, *, name: str | None = "n", opts: Any = None, **more: Any) -> Taken:
    """A job as a turn brings it."""
    fields = {
        "delay_ms": 0, "priority": 0, "attempts_made": 0, "attempts_started": 1, "crashes": 0,
        "deduplication_id": None, "parent_key": None, "scheduler_id": None, "deferred_failure": None,
        "stacktrace": None, "suspect": False, "timestamp": 1_000_000, **more,
    }  # fmt: skip
    return Taken(job_id, "inc:w:1", name, json.dumps(data).encode(), json.dumps(opts or {}).encode(), **fields)


class Bench:
    """Slots on the running loop."""

    def __init__(self, handler: str | None, *, wraps: Sequence[Wrap] = (), on_failed: Any = None, **more: Any) -> None:
        self.board = Board()
        self.woken = asyncio.Event()
        self.numbers = numbers(handler, **more)
        policies = JobPolicies(self.numbers, list(wraps), OnFailed(on_failed) if on_failed else None)
        self.slots = Slots(
            asyncio.get_running_loop(), self.board, queue="q", numbers=self.numbers,  # type: ignore[arg-type]
            policies=policies, wake=self.woken.set,
        )  # fmt: skip

    def start(self, *jobs: Taken, now_ms: int = 1_000_000) -> None:
        self.slots.start(jobs, now_ms)
        self.slots.go()

    async def ended(self, count: int = 1) -> list[Attempt]:
        """Return the attempts that are through, once there are so many."""
        await self.until(lambda: len(self.slots.ended) >= count)
        return self.slots.collect()

    async def until(self, fact: Callable[[], object]) -> None:
        """Wait for a fact that the loop makes true."""
        async with asyncio.timeout(10):
            while not fact():
                self.woken.clear()
                try:
                    await asyncio.wait_for(self.woken.wait(), 0.005)
                except TimeoutError:
                    continue

    async def one(self, *args: Any, **more: Any) -> Attempt:
        """Run one job to its end."""
        self.start(taken(*args, **more))
        return (await self.ended())[0]
