"""What becomes of the jobs of a turn: slots held and freed, ends gathered, deadlines, interruptions, notes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from jobd.daemon.health import FETCH_LIMIT_S
from jobd.engine.states import Outcome
from jobd.protocol.worker import Cancel
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.wraps import load_wraps
from jobd.worker.run.attempt import Interruption
from tests.unit.worker.run import handlers
from tests.unit.worker.run.bench import HERE, Bench, numbers, taken


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    handlers.seen.clear()
    handlers.gate.clear()
    yield
    handlers.gate.set()


@pytest.mark.parametrize("handler", ["echo", "aecho"])
def test_job_holds_its_slot_until_its_result_is_settled(handler: str) -> None:
    async def scene() -> None:
        bench = Bench(handler, concurrency=2)
        free = bench.slots.slots_left
        bench.start(taken("1", {"n": 1}))
        assert (bench.slots.free, bench.board.busy_now, bench.slots.held()) == (1, 1, {"1"})
        (attempt,) = await bench.ended()
        assert attempt.finish is not None
        assert (attempt.finish.outcome, attempt.finish.value) == (Outcome.COMPLETED, b'{"n":1}')
        assert (bench.slots.free, bench.slots.held(), bench.slots.slots_left) == (2, {"1"}, free - 1)
        bench.slots.settle([attempt])
        assert (bench.slots.held(), bench.slots.slots_left, bench.board.cleared) == (frozenset(), free, [attempt.slot])

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("handler", "opts", "outcome", "value", "delay_ms"),
    [
        ("fail", {}, Outcome.FAILED, b"no luck", 0),
        ("fail", {"attempts": 3}, Outcome.RETRY, b"no luck", 0),
        ("fail", {"attempts": 3, "backoff": 5_000}, Outcome.RETRY, b"no luck", 5_000),
        ("give_up", {"attempts": 3}, Outcome.FAILED, b"never", 0),
        ("later", {}, Outcome.LATER, b"null", 30_000),
        ("limited", {}, Outcome.LIMITED, b"null", 2_000),
    ],
)
def test_what_a_handler_raises_decides_the_outcome(
    handler: str, opts: Any, outcome: Outcome, value: bytes, delay_ms: int
) -> None:
    async def scene() -> None:
        finish = (await Bench(handler).one("1", opts=opts)).finish
        assert finish is not None
        assert (finish.outcome, finish.value, finish.delay_ms) == (outcome, value, delay_ms)

    asyncio.run(scene())


def test_delay_that_is_none_is_a_failure_and_says_so() -> None:
    async def scene() -> None:
        finish = (await Bench("nonsense").one()).finish
        assert finish is not None
        assert finish.outcome is Outcome.FAILED
        assert b"soon" in finish.value

    asyncio.run(scene())


def test_rate_limit_of_a_handler_holds_back_the_next_take() -> None:
    async def scene() -> None:
        bench = Bench("limited")
        await bench.one()
        assert bench.slots.taking_from > monotonic() + 1
        bench = Bench("limited_for_an_hour")
        await bench.one()
        assert monotonic() + 1 < bench.slots.taking_from < monotonic() + FETCH_LIMIT_S - 2

    asyncio.run(scene())


@pytest.mark.parametrize("handler", ["wait", "await_long"])
def test_timeout_interrupts_and_fails_the_attempt(handler: str) -> None:
    async def scene() -> None:
        bench = Bench(handler, timeout_ms=30, kill_after_ms=5_000, attempts=2)
        attempt = await bench.one()
        assert attempt.finish is not None
        assert (attempt.finish.outcome, attempt.finish.value) == (Outcome.RETRY, b"timed out after 30ms")
        _, _, _, (started, deadline, kill_at) = bench.board.shown[attempt.slot]
        assert (round(deadline - started, 3), round(kill_at - deadline, 3)) == (0.03, 5.0)

    asyncio.run(scene())


def test_result_of_a_handler_that_outlives_its_cancellation_does_not_count() -> None:
    async def scene() -> None:
        finish = (await Bench("stubborn", timeout_ms=20).one()).finish
        assert finish is not None
        assert (finish.outcome, finish.value) == (Outcome.COMPLETED, b'"anyway"')

    asyncio.run(scene())


@pytest.mark.parametrize("handler", ["wait", "await_long"])
@pytest.mark.parametrize("why", ["cancelled", "lock-lost"])
def test_cancel_ends_the_job_it_names(handler: str, why: Any) -> None:
    async def scene() -> None:
        bench = Bench(handler, attempts=5)
        bench.start(taken())
        await bench.until(lambda: bench.board.shown)
        (attempt,) = bench.slots.running.values()
        for other in (Cancel(attempt.slot, "2", 1, why), Cancel(attempt.slot, "1", 2, why), Cancel(77, "1", 1, why)):
            bench.slots.cancel(other)
        assert attempt.interruption.value == "none"
        bench.slots.cancel(Cancel(attempt.slot, "1", 1, why))
        if why == "cancelled":
            (attempt,) = await bench.ended()
            assert attempt.finish is not None
            assert (attempt.finish.outcome, attempt.finish.value) == (Outcome.FAILED, b"cancelled")
        else:
            await bench.until(lambda: not bench.slots.running)
            # Its lock is another's: nothing is sent, and the slot is free at once.
            assert (bench.slots.ended, bench.slots.held()) == ([], frozenset())

    asyncio.run(scene())


def test_stop_sends_nothing_for_what_it_interrupts() -> None:
    async def scene() -> None:
        bench = Bench("await_long", concurrency=3)
        bench.start(taken("1"), taken("2"), taken("3"))
        await bench.until(lambda: len(bench.board.shown) == 3)
        bench.slots.interrupt_all()
        await bench.until(lambda: not bench.slots.running)
        assert bench.slots.ended == []

    asyncio.run(scene())


def test_notes_keep_their_order_and_come_before_the_end() -> None:
    async def scene() -> None:
        bench = Bench("talk")
        await bench.one("7", opts={"kl": 5})
        found = [(note.kind, note.job_id, note.payload, note.keep_logs) for note in bench.slots.notes]
        assert found == [("progress", "7", b"1", 5), ("log", "7", b"line", 5), ("data", "7", b'{"n":2}', 5)]

    asyncio.run(scene())


def test_unknown_backoff_is_told_in_the_jobs_log() -> None:
    async def scene() -> None:
        bench = Bench("fail")
        finish = (await bench.one("1", opts={"attempts": 3, "backoff": {"type": "fibonacci", "delay": 5}})).finish
        assert finish is not None
        assert (finish.outcome, finish.delay_ms > 0) == (Outcome.RETRY, True)
        (note,) = bench.slots.notes
        assert b'backoff type "fibonacci" is unknown to jobd' in note.payload

    asyncio.run(scene())


def test_results_beyond_what_one_turn_bears_wait_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobd.worker.run.slots.TURN_BYTES", 10)

    async def scene() -> None:
        bench = Bench("aecho", concurrency=3)
        bench.start(*(taken(str(number), "x" * 8) for number in range(3)))
        await bench.until(lambda: len(bench.slots.ended) == 3)
        assert [len(bench.slots.collect()) for _ in range(4)] == [1, 1, 1, 0]

    asyncio.run(scene())


def test_new_numbers_hold_for_the_jobs_to_come() -> None:
    async def scene() -> None:
        bench = Bench("await_long")
        bench.start(taken("1"))
        more = numbers("aecho", concurrency=5)
        bench.slots.use(more, JobPolicies(more, []))
        assert bench.slots.free == 4
        bench.start(taken("2", 5))
        (attempt,) = await bench.ended()
        assert (attempt.taken.id, attempt.finish and attempt.finish.value) == ("2", b"5")
        bench.slots.interrupt_all()
        await bench.until(lambda: not bench.slots.running)

    asyncio.run(scene())


def test_suspects_are_counted_while_they_run() -> None:
    async def scene() -> None:
        bench = Bench("wait")
        bench.start(taken("1", suspect=True))
        assert bench.slots.suspects == 1
        handlers.gate.set()
        await bench.ended()
        assert bench.slots.suspects == 0

    asyncio.run(scene())


@pytest.mark.parametrize(("handler", "first"), [("who", True), ("awho", True)])
def test_current_job_is_the_one_that_runs(handler: str, first: bool) -> None:
    async def scene() -> None:
        finish = (await Bench(handler).one()).finish
        assert finish is not None
        found = json.loads(finish.value)
        assert (found[0] if isinstance(found, list) else found) is first

    asyncio.run(scene())


def test_plain_handler_inside_an_async_wrap_runs_in_a_thread() -> None:
    async def scene() -> None:
        bench = Bench("who", wraps=load_wraps([f"{HERE}:on_loop"]))
        finish = (await bench.one()).finish
        assert finish is not None
        assert json.loads(finish.value) == [True, 0, "jobd-thread-1"]
        assert handlers.seen == ["entered", "left"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("why", "came"),
    [
        (Interruption.TIMED_OUT, "JobTimeout"),
        (Interruption.CANCELLED, "Cancelled"),
        (Interruption.LOST, "Cancelled"),
        (Interruption.STOPPED, "Cancelled"),
    ],
)
@pytest.mark.parametrize("wraps", [[], [f"{HERE}:on_loop"]])
def test_a_plain_handler_is_interrupted_by_what_fits_also_inside_an_async_wrap(
    why: Interruption, came: str, wraps: list[str]
) -> None:
    async def scene() -> None:
        bench = Bench("tells_what_came", wraps=load_wraps(wraps))
        bench.start(taken())
        await bench.until(lambda: "begun" in handlers.seen)
        bench.slots.interrupt(bench.slots.running[next(iter(bench.slots.running))], why)
        await bench.until(lambda: not bench.slots.running)
        assert came in handlers.seen

    asyncio.run(scene())


def test_board_tells_failures_from_results() -> None:
    async def scene() -> None:
        bench = Bench("fail")
        await bench.one()
        assert (bench.board.failures, bench.board.busy_now) == ([True], 0)

    asyncio.run(scene())


def _told(job: Any, error: BaseException) -> None:
    handlers.seen.append((job.id, job.attempt, str(error)))


async def _atold(job: Any) -> None:
    await asyncio.sleep(0)
    handlers.seen.append((job.id, job.attempt, "no luck"))


@pytest.mark.parametrize("on_failed", [_told, _atold])
@pytest.mark.parametrize("handler", ["fail", "afail"])
def test_on_failed_is_called_after_the_last_attempt_only(handler: str, on_failed: Any) -> None:
    async def scene() -> None:
        bench = Bench(handler, on_failed=on_failed, attempts=2)
        first, last = await bench.one("1"), await bench.one("2", attempts_made=1)
        assert [each.finish and each.finish.outcome for each in (first, last)] == [Outcome.RETRY, Outcome.FAILED]
        assert handlers.seen == [("2", 2, "no luck")]

    asyncio.run(scene())


@pytest.mark.parametrize("handler", ["fail", "afail"])
def test_on_failed_that_fails_changes_nothing(handler: str) -> None:
    def broken(job: Any) -> None:
        raise SystemExit(3)

    async def scene() -> None:
        finish = (await Bench(handler, on_failed=broken).one()).finish
        assert finish is not None
        assert (finish.outcome, finish.value) == (Outcome.FAILED, b"no luck")

    asyncio.run(scene())


@pytest.mark.parametrize("handler", ["batch_until_gate", "abatch_until_gate"])
def test_a_job_of_a_batch_that_is_cancelled_while_the_call_returns_ends_once(handler: str) -> None:
    async def scene() -> None:
        through = asyncio.Event()

        async def slow(job: Any, error: BaseException) -> None:
            handlers.seen.append(job.id)
            await through.wait()

        bench = Bench(handler, on_failed=slow, batch_max=2)
        bench.start(taken("1"), taken("2"))
        await bench.until(lambda: len(bench.board.shown) == 2)
        (first,) = (each for each in bench.slots.running.values() if each.taken.id == "1")
        bench.slots.cancel(Cancel(first.slot, "1", 1, "cancelled"))
        await bench.until(lambda: handlers.seen)
        handlers.gate.set()
        (second,) = await bench.ended()
        through.set()
        assert await bench.ended() == [first]
        assert [each.finish and each.finish.outcome for each in (second, first)] == [Outcome.COMPLETED, Outcome.FAILED]
        assert (second.taken.id, handlers.seen, bench.slots.running) == ("2", ["1"], {})

    asyncio.run(scene())


@pytest.mark.parametrize("handler", ["batch_until_gate", "abatch_until_gate"])
def test_the_call_of_a_batch_ends_with_the_last_of_its_jobs_that_is_cancelled(handler: str) -> None:
    async def scene() -> None:
        async def slow(job: Any, error: BaseException) -> None:
            handlers.seen.append(job.id)
            await asyncio.sleep(0.03)

        bench = Bench(handler, on_failed=slow, batch_max=2)
        bench.start(taken("1"), taken("2"))
        await bench.until(lambda: len(bench.board.shown) == 2)
        for attempt in list(bench.slots.running.values()):
            bench.slots.cancel(Cancel(attempt.slot, attempt.taken.id, 1, "cancelled"))
        if handler == "batch_until_gate":
            handlers.gate.set()  # a thread hears of it when its wait is over
        ends = await bench.ended(2)
        assert [each.finish and each.finish.outcome for each in ends] == [Outcome.FAILED] * 2

    asyncio.run(scene())
