"""What a worker does with a scheduler's job before it runs it: the next iteration, and the policies of the schedule."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from jobd.engine.iterations import Iteration
from jobd.engine.job import KEEP_ALL, Taken
from jobd.engine.schedulers import Policies
from jobd.engine.states import Outcome
from jobd.errors import InputError, RedisRefused, RedisUnavailable
from jobd.worker.run import iterations
from jobd.worker.run.attempt import Attempt, Interruption
from jobd.worker.run.iterations import Iterations
from tests.unit.worker.run.bench import Bench, taken


class Queue:
    """Answers next_iteration; raises its errors one after the other first."""

    def __init__(self, answer: Iteration, *errors: Exception) -> None:
        self.answer = answer
        self.errors = list(errors)
        self.asked: list[str] = []

    async def next_iteration(self, job: Taken, *, now_ms: int, chance: float) -> Iteration:
        assert 0 <= chance < 1
        assert abs(time.time() * 1000 - now_ms) < 60_000
        self.asked.append(job.id)
        if self.errors:
            raise self.errors.pop(0)
        return self.answer


NOTHING = Iteration(None, Policies(), None)


def bench_of(queue: Queue, handler: str = "echo", **more: Any) -> Bench:
    bench = Bench(handler, **more)
    bench.slots._iterations = Iterations(asyncio.get_running_loop(), lambda: queue, bench.slots._iteration_made)
    return bench


def slot_id(late_s: float = 0.0) -> str:
    return f"repeat:s:{round((time.time() - late_s) * 1000)}"


def one(queue: Queue, job_id: str = "repeat:s:1", *, handler: str = "echo", **more: Any) -> Attempt:
    async def scene() -> Attempt:
        return await bench_of(queue, handler).one(job_id, scheduler_id="s", **more)

    return asyncio.run(scene())


def skipped(attempt: Attempt) -> str | None:
    assert attempt.finish is not None
    assert attempt.finish.outcome is Outcome.COMPLETED
    found: str | None = (json.loads(attempt.finish.value) or {}).get("skipped")
    return found


def test_runs_once_the_next_iteration_is_made() -> None:
    queue = Queue(NOTHING)
    attempt = one(queue, data={"a": 1})
    assert queue.asked == ["repeat:s:1"]
    assert attempt.finish is not None
    assert (attempt.finish.outcome, attempt.finish.value) == (Outcome.COMPLETED, b'{"a":1}')


def test_is_shown_and_held_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterations, "AGAIN_S", 0.001)
    queue = Queue(NOTHING, RedisUnavailable("gone"), RedisRefused("OOM used memory", trouble="memory full"))

    async def scene() -> None:
        bench = bench_of(queue)
        bench.start(taken("repeat:s:1", scheduler_id="s"))
        assert (bench.board.shown[0][0], bench.slots.free, bench.slots.held()) == ("repeat:s:1", 0, {"repeat:s:1"})
        (attempt,) = await bench.ended()
        assert attempt.finish is not None
        assert (attempt.finish.outcome, len(queue.asked), bench.slots.running) == (Outcome.COMPLETED, 3, {})

    asyncio.run(scene())


def test_a_deferred_failure_makes_the_next_iteration_too() -> None:
    queue = Queue(NOTHING)
    attempt = one(queue, deferred_failure="child 3 failed")
    assert attempt.finish is not None
    assert (attempt.finish.outcome, len(queue.asked), attempt.started_at) == (Outcome.FAILED, 1, 0.0)


@pytest.mark.parametrize(
    "why", [InputError("no such zone"), RedisRefused("no such zone", trouble="wrong type of a key")]
)
def test_a_pattern_that_cannot_be_read_fails_the_job_and_says_so(why: Exception) -> None:
    attempt = one(Queue(NOTHING, why), opts={"removeOnFail": True, "attempts": 5})
    assert attempt.finish is not None
    assert attempt.finish.outcome is Outcome.FAILED
    assert attempt.finish.value == b'cannot plan the next run of schedule "s": no such zone'
    assert attempt.finish.keep == KEEP_ALL


def test_an_interrupted_job_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterations, "AGAIN_S", 0.001)
    queue = Queue(NOTHING, *(RedisUnavailable("gone") for _ in range(10_000)))

    async def scene() -> None:
        bench = bench_of(queue)
        bench.start(taken("repeat:s:1", scheduler_id="s"))
        await bench.until(lambda: queue.asked)
        (attempt,) = bench.slots.running.values()
        bench.slots.interrupt(attempt, Interruption.CANCELLED)
        (attempt,) = await bench.ended()
        assert attempt.finish is not None
        assert (attempt.finish.outcome, attempt.finish.value) == (Outcome.FAILED, b"cancelled")

    asyncio.run(scene())


def test_a_suspect_counts_as_one_from_the_take_on() -> None:
    async def scene() -> None:
        bench = bench_of(Queue(NOTHING))
        bench.start(taken("repeat:s:1", scheduler_id="s", suspect=True))
        assert bench.slots.suspects == 1
        await bench.ended()
        assert bench.slots.suspects == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("catch_up", "late_s", "more", "left_out"),
    [
        ("none", 50, {}, False),
        ("none", 90, {}, True),
        ("none", 90, {"attempts_started": 2}, False),
        ("once", 9_000, {}, False),
    ],
)
def test_a_missed_run_is_left_out_when_the_schedule_says_so(
    catch_up: str, late_s: float, more: dict[str, Any], left_out: bool
) -> None:
    found = skipped(one(Queue(Iteration(None, Policies(catch_up=catch_up), None)), slot_id(late_s), **more))
    assert (found is not None) == left_out
    assert found is None or "due at " in found


def test_jitter_is_not_lateness() -> None:
    queue = Queue(Iteration(None, Policies(catch_up="none", jitter_ms=100_000), None))
    assert skipped(one(queue, slot_id(90))) is None


def test_an_overlapping_run_is_left_out_or_waits() -> None:
    queue = Queue(Iteration(None, Policies("skip"), "repeat:s:0"))
    assert skipped(one(queue)) == "repeat:s:0 is not through"
    attempt = one(Queue(Iteration(None, Policies("queue"), "repeat:s:0")), slot_id(20))
    assert attempt.finish is not None
    assert (attempt.finish.outcome, 1900 < attempt.finish.delay_ms < 30_000) == (Outcome.LATER, True)
