"""The fetch loop carries out what the policy decides: what leaves, in which order, and what is kept of what is lost."""

from __future__ import annotations

import asyncio

import pytest

from jobd.errors import RedisUnavailable
from tests.unit.worker.fetch.harness import fetching
from tests.unit.worker.run.bench import taken


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
