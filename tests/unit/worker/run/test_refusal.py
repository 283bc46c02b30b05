"""Jobs that end without their handler, and finishes that Redis refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobd.engine.codes import Code
from jobd.engine.states import Outcome
from jobd.worker.run.refusal import refused
from tests.unit.worker.run.bench import Bench, taken


@pytest.mark.parametrize(
    ("job", "more", "outcome", "reason"),
    [
        ({"deferred_failure": "child 3 failed"}, {}, Outcome.FAILED, b"child 3 failed"),
        ({"name": None}, {}, Outcome.FAILED, b"the job has no name: its hash is incomplete"),
        ({"timestamp": 0}, {"expire_ms": 999_999}, Outcome.FAILED, b"expired"),
        ({"timestamp": 0, "opts": {"delay": 500}}, {"expire_ms": 999_400}, Outcome.FAILED, b"expired"),
    ],
)
def test_ends_without_its_handler(job: dict[str, Any], more: dict[str, Any], outcome: Outcome, reason: bytes) -> None:
    async def scene() -> None:
        bench = Bench("fail", attempts=5, **more)
        attempt = await bench.one("1", **job)
        assert attempt.finish is not None
        assert (attempt.finish.outcome, attempt.finish.value) == (outcome, reason)
        assert (attempt.started_at, bench.board.shown, bench.slots.free) == (0.0, {}, 1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    "job",
    [
        {"timestamp": 0, "attempts_made": 1},
        {"timestamp": 1_000},
        {"timestamp": 0, "opts": {"delay": 600}},
        {"timestamp": 0, "delay_ms": 600},
    ],
)
def test_does_not_expire(job: dict[str, Any]) -> None:
    async def scene() -> None:
        attempt = await Bench("echo", expire_ms=999_400).one("1", **job)
        assert attempt.finish is not None
        assert attempt.finish.outcome is Outcome.COMPLETED

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("redis_ms", "outcome"), [(None, Outcome.FAILED), (999_001, Outcome.FAILED), (999_000, Outcome.COMPLETED)]
)
def test_does_not_expire_by_a_clock_that_is_before_redis(redis_ms: int | None, outcome: Outcome) -> None:
    async def scene() -> None:
        bench = Bench("echo", expire_ms=999_000)
        bench.slots.redis_now_ms = lambda: redis_ms
        attempt = await bench.one("1", timestamp=0)
        assert attempt.finish is not None
        assert attempt.finish.outcome is outcome

    asyncio.run(scene())


@pytest.mark.parametrize(("unknown", "outcome"), [("fail", Outcome.FAILED), ("retry", Outcome.RETRY)])
def test_name_that_nobody_handles_is_told_with_the_known_ones(unknown: Any, outcome: Outcome) -> None:
    async def scene() -> None:
        bench = Bench(None, unknown=unknown, attempts=2)
        finish = (await bench.one("1", name="welcom")).finish
        assert finish is not None
        assert finish.outcome is outcome if unknown == "fail" else finish.outcome in (Outcome.RETRY, Outcome.FAILED)
        assert finish.value == b'no handler for job name "welcom"; known names: none'

    asyncio.run(scene())


def test_completion_refused_for_its_children_becomes_a_failure_and_others_are_over() -> None:
    async def scene() -> None:
        bench = Bench("aecho", concurrency=4)
        bench.start(*(taken(str(number)) for number in range(4)))
        await bench.until(lambda: len(bench.slots.ended) == 4)
        ended = bench.slots.collect()
        again = refused(ended, [0, Code.PENDING_CHILDREN, Code.FAILED_CHILDREN, Code.LOCK_OF_ANOTHER])
        assert again == ended[1:3]
        assert [attempt.finish and attempt.finish.value for attempt in again] == [
            b"Job 1 has pending dependencies. moveToFinished",
            b"Cannot complete job 2 because it has at least one failed child. moveToFinished",
        ]  # fmt: skip

    asyncio.run(scene())
