"""The fetch loop carries out what the policy decides: what leaves, in which order, and what is kept of what is lost."""

from __future__ import annotations

import asyncio

import pytest

from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.worker.fetch import turns as fetch_turns
from tests.unit.worker.fetch.harness import FetchBench, fetching
from tests.unit.worker.run.bench import taken
from tests.unit.worker.run.handlers import held, probes, seen


def test_the_board_shows_a_turn_before_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    # A handler's thread may get the GIL while the bytes are written and keep it for longer than a lock lives: what
    # Redis gives this worker meanwhile is renewed only if the board says that a turn is under way.
    async def main() -> None:
        async with fetching(monkeypatch, "aecho", concurrency=2) as bench:
            first = await bench.sent(1)
            assert first.shown_since > 0
            first.reply(taken("1"))
            second = await bench.sent(2)
            assert second.shown_since > first.shown_since
            second.reply()
            await bench.until(lambda: bench.board.shown_since == 0.0)

    asyncio.run(main())


def test_results_whose_turn_cannot_leave_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "aecho") as bench:
            first = await bench.sent(1)
            bench.redis.refuses = RedisUnavailable("not connected")
            first.reply(taken("1", {"n": 1}))
            again = await bench.sent(2)
            assert bench.redis.opened == 2
            assert [finish.job_id for finish in again.turn.finishes] == ["1"]
            assert again.turn.take == 0

    asyncio.run(main())


def test_while_what_was_lost_is_looked_for_the_board_says_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "aecho", concurrency=2) as bench:
            (await bench.sent(1)).reply(taken("1"))
            lost = await bench.sent(2)
            since = bench.board.shown_since
            assert lost.turn.take
            bench.redis.drop()
            settling = await bench.sent(3)
            assert settling.shown_since == since > 0
            settling.reply()
            await bench.sent(4)
            assert bench.redis.sent[3].turn.take == 2

    asyncio.run(main())


def test_refused_jobs_of_a_reply_are_settled_without_more_being_taken_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A job nobody handles ends while the others of its reply have not begun: their room is not free.
    async def main() -> None:
        async with fetching(monkeypatch, "hold", concurrency=40) as bench:
            unknown = [taken(str(number), deferred_failure="no") for number in range(25)]
            held_jobs = [taken(str(number)) for number in range(25, 40)]
            (await bench.sent(1)).reply(*unknown, *held_jobs)
            second = await bench.sent(2)
            assert (len(second.turn.finishes), second.turn.take, second.turn.busy) == (25, 25, 15)

    asyncio.run(main())


def test_one_job_after_another_goes_by_answers_and_ends_while_the_loop_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "aecho", concurrency=1) as bench:
            (await bench.sent(1)).reply(taken("1"))
            await bench.sent(2)
            await bench.until(lambda: bench.loop._is_asleep)
            asleep = bench.loop._woken
            for number in range(2, 6):
                (await bench.sent(number)).reply(taken(str(number)))
                assert (await bench.sent(number + 1)).turn.finishes[0].job_id == str(number)
            assert bench.loop._woken is asleep
            # Nothing to take: the loop is needed no more than before, and a look finds the next.
            (await bench.sent(6)).reply()
            bench.loop.look_again()
            assert (await bench.sent(7)).turn.take == 1

    asyncio.run(main())


def test_handler_that_awaits_nothing_is_over_and_its_result_sent_where_the_answer_comes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "aecho", concurrency=1) as bench:
            (await bench.sent(1)).reply(taken("0"))
            second = await bench.sent(2)
            await bench.until(lambda: bench.loop._is_asleep)
            aio = asyncio.get_running_loop()
            seen = aio.create_future()

            def arrive() -> None:
                second.reply(taken("1"))
                seen.set_result([finish.job_id for sent in bench.redis.sent[2:] for finish in sent.turn.finishes])

            # As the transport does: from a callback, not from within a task.
            aio.call_soon(arrive)
            assert await seen == ["1"]

    asyncio.run(main())


def test_results_of_earlier_jobs_leave_before_the_handlers_of_a_reply_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "probe", concurrency=2) as bench:
            probes.append(lambda: len(bench.redis.sent))
            (await bench.sent(1)).reply(taken("0"))
            await bench.until(lambda: bench.loop._is_asleep and "0" in held)
            bench.loop.look_again()
            second = await bench.sent(2)
            await bench.until(lambda: bench.loop._is_asleep)
            held["0"].set_result(None)
            await bench.until(lambda: bench.slots.ended)
            asyncio.get_running_loop().call_soon(lambda: second.reply(taken("1")))
            third = await bench.sent(3)
            assert [finish.job_id for finish in third.turn.finishes] == ["0"]
            await bench.until(lambda: "1" in held)
            assert seen == [("0", 1), ("1", 3)]

    held.clear()
    seen.clear()
    probes.clear()
    asyncio.run(main())


def test_of_two_lost_turns_both_results_are_sent_again_without_a_take(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "hold", concurrency=40) as bench:
            (await bench.sent(1)).reply(*(taken(str(number)) for number in range(40)))
            await bench.until(lambda: len(held) == 40)
            for number in range(20):
                held[str(number)].set_result(None)
            first = await bench.sent(2)
            for number in range(20, 40):
                held[str(number)].set_result(None)
            second = await bench.sent(3)
            assert (len(first.turn.finishes), first.turn.take) == (20, 20)
            assert (len(second.turn.finishes), second.turn.take) == (20, 20)
            bench.redis.drop()
            again = await bench.sent(4)
            assert [(len(request.finishes), request.take) for request in again.commands] == [(20, 0), (20, 0)]

    held.clear()
    asyncio.run(main())


@pytest.mark.parametrize("what", ["the wait", "the beat"])
def test_what_runs_beside_the_loop_does_not_die_unseen(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    async def main() -> None:
        bench = FetchBench("aecho")

        async def dies() -> None:
            raise RuntimeError("can't start new thread")

        if what == "the wait":
            bench.wait.run = dies  # type: ignore[method-assign]
        else:
            bench.loop._board.beat = lambda now: (_ for _ in ()).throw(RuntimeError("x"))  # type: ignore[method-assign]
        assert await bench.loop.connect()
        with pytest.raises(ExceptionGroup):
            await asyncio.wait_for(bench.loop.run(), 10)

    monkeypatch.setattr(fetch_turns, "turn", lambda keys, request: request)
    asyncio.run(main())


def test_a_thread_that_cannot_be_started_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        bench = FetchBench("echo")
        bench.slots.threads.start = lambda attempt: (_ for _ in ()).throw(RuntimeError("x"))  # type: ignore[method-assign]
        assert await bench.loop.connect()
        bench.loop.resume()
        running = asyncio.create_task(bench.loop.run())
        (await bench.sent(1)).reply(taken("1"))
        with pytest.raises(ExceptionGroup):
            await asyncio.wait_for(running, 10)

    monkeypatch.setattr(fetch_turns, "turn", lambda keys, request: request)
    asyncio.run(main())


def test_a_connection_that_the_server_closes_while_idle_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "aecho") as bench:
            (await bench.sent(1)).reply()
            await bench.until(lambda: bench.wait.asked)
            bench.redis.is_open = False
            bench.loop._closed()
            await bench.until(lambda: bench.redis.opened == 2)
            assert bench.outages == []

    asyncio.run(main())


def test_a_server_that_became_a_replica_is_left_before_anybody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(monkeypatch, "aecho") as bench:
            read_only = RedisRefused("READONLY You can't write against a read only replica.", trouble=Trouble.READ_ONLY)
            (await bench.sent(1)).answer.set_exception(read_only)
            second = await bench.sent(2)
            assert (bench.redis.opened, bench.outages) == (2, [])
            second.answer.set_exception(read_only)
            await bench.sent(3)
            assert bench.outages[0][0] is False

    asyncio.run(main())


@pytest.mark.parametrize("order", ["quiet", "end"])
def test_it_says_that_it_is_quiet_once_no_turn_under_way_may_bring_a_job(
    monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    async def main() -> None:
        told: list[bool] = []
        async with fetching(monkeypatch, "hold", concurrency=2) as bench:
            first = await bench.sent(1)
            getattr(bench.loop, order)(lambda: told.append(True))
            first.reply(taken("1"))
            await bench.until(lambda: "1" in held)
            await bench.until(lambda: told)
            held["1"].set_result(None)
            last = await bench.sent(2)
            assert last.turn.take == 0
            last.reply()

    held.clear()
    asyncio.run(main())


def test_a_job_that_never_stops_talking_does_not_keep_it_from_saying_that_it_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        told: list[bool] = []
        async with fetching(monkeypatch, "hold") as bench:
            (await bench.sent(1)).reply(taken("1"))
            await bench.until(lambda: "1" in held)
            (attempt,) = bench.slots.running.values()
            bench.slots.logged(attempt.job, "line")
            bench.loop.quiet(lambda: told.append(True))
            for number in range(2, 5):
                notes = await bench.sent(number)
                bench.slots.logged(attempt.job, "line")
                notes.answer.set_result([None])
            assert told

    held.clear()
    asyncio.run(main())
