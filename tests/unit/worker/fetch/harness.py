"""A fetch loop whose Redis is the test: it sees each turn leave, and answers it when it likes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from jobd.engine.job import TurnReply, TurnRequest
from jobd.engine.keys import Keys
from jobd.errors import JobdError, RedisUnavailable
from jobd.locate import RedisSource
from jobd.worker.fetch import loop as fetch_loop
from jobd.worker.fetch import turns as fetch_turns
from jobd.worker.fetch.loop import FetchLoop
from tests.unit.worker.run.bench import Bench, Board


class FetchBoard(Board):
    """Shows what the fetch loop writes too."""

    shown_since = 0.0
    renewed_at = float("inf")

    def turn_sent(self, at: float) -> None:
        self.shown_since = at

    def count_finals(self, completed: int, failed: int) -> None: ...

    def beat(self, now: float) -> None: ...

    def fetched(self, at: float) -> None: ...


@dataclass(eq=False)
class Sent:
    """What the loop sent in one write: script calls as (their Command or their request), and what the board showed."""

    commands: tuple[Any, ...]
    answer: asyncio.Future[list[Any]]
    shown_since: float
    direct: Callable[[list[Any]], bool] | None = None
    concurrency: int = 0
    taken: bool = False
    """Its results were taken where they came in; its future never hears."""

    @property
    def turn(self) -> TurnRequest:
        """The turn among it."""
        (request,) = [command for command in self.commands if isinstance(command, TurnRequest)]
        return request

    def reply(self, *jobs: Any, codes: list[int] | None = None, **more: Any) -> None:
        """Answer it as Redis would: all finishes accepted, these jobs taken."""
        codes = [0] * len(self.turn.finishes) if codes is None else codes
        self.arrive([None] * (len(self.commands) - 1) + [TurnReply(codes, list(jobs), **more)])

    def arrive(self, results: list[Any], *, directly: bool = True) -> None:
        """Hand the results over as the connection does; not `directly`: as it does where one is an error."""
        if directly and self.direct is not None and self.direct(results):
            self.taken = True
        else:
            self.answer.set_result(results)

    @property
    def is_under_way(self) -> bool:
        """Whether no answer came."""
        return not self.taken and not self.answer.done()


class FakeRedis:
    """Stands in for the turns' connection. `sent` grows with each write; `refuses` is what the next one meets."""

    def __init__(self, board: FetchBoard) -> None:
        self.board = board
        self.aio = asyncio.get_running_loop()
        self.sent: list[Sent] = []
        self.is_open = False
        self.opened = 0
        self.refuses: JobdError | None = None
        self.adopted: list[Any] = []
        self.client_id = 1

    @property
    def oldest(self) -> object | None:
        return None

    async def open(self) -> None:
        self.is_open = True
        self.opened += 1

    def drop(self) -> None:
        self.is_open = False
        for sent in self.sent:
            if sent.is_under_way:
                sent.answer.set_exception(RedisUnavailable("connection closed"))
                sent.answer.exception()

    async def end_lost(self, others: Any) -> None: ...

    async def words(self, *commands: Any) -> list[Any]:
        return [[0, 0] if command[0] == "TIME" else None for command in commands]

    def begin(self, *commands: Any, direct: Callable[[list[Any]], bool] | None = None) -> asyncio.Future[list[Any]]:
        sent = Sent(commands, self.aio.create_future(), self.board.shown_since, direct)
        error = self.refuses if self.is_open else RedisUnavailable("not connected")
        if error is not None:
            self.refuses = None
            sent.answer.set_exception(error)
            sent.answer.exception()
            return sent.answer
        self.sent.append(sent)
        return sent.answer

    async def finish(self, commands: Any, begun: asyncio.Future[list[Any]], *, may_refuse: int = 0) -> list[Any]:
        return await begun

    async def run(self, *commands: Any, may_refuse: int = 0) -> list[Any]:
        return await self.begin(*commands)


class FakeWait:
    """Stands in for the wait for a marker; `asked` counts the asks for one."""

    connection = None
    asked = 0
    give_up_at = 0.0

    async def run(self) -> None:
        await asyncio.Event().wait()

    def ask(self, next_due_ms: int | None, *, busy: bool = False) -> None:
        self.asked += 1

    def drop(self) -> None: ...

    def rest(self) -> None: ...

    async def unblock(self, through: Any) -> None: ...

    async def left(self) -> None: ...


class FetchBench(Bench):
    """Slots and a fetch loop that serves them, on the running loop."""

    def __init__(self, handler: str, **more: Any) -> None:
        super().__init__(handler, **more)
        board = FetchBoard()
        self.board = board
        self.slots._board = board  # type: ignore[assignment]
        self.redis = FakeRedis(board)
        self.wait = FakeWait()
        self.outages: list[tuple[bool, str | None, str | None]] = []
        self.loop = FetchLoop(
            RedisSource("redis://nowhere", None, None, "bull"), Keys("bull", "q"), board,  # type: ignore[arg-type]
            worker_name="w", token_prefix="inc:w:", report=lambda *told: self.outages.append(told),
        )  # fmt: skip
        self.loop._connection = self.redis  # type: ignore[assignment]
        self.loop._marker = self.wait  # type: ignore[assignment]
        self.slots._wake = self._both
        self.loop.attach(self.slots)

    def _both(self) -> None:
        self.woken.set()
        self.loop.wake()

    async def sent(self, count: int) -> Sent:
        """Return the count-th write, once it has left."""
        await self.until(lambda: len(self.redis.sent) >= count)
        return self.redis.sent[count - 1]


@contextlib.asynccontextmanager
async def fetching(monkeypatch: pytest.MonkeyPatch, handler: str, **more: Any) -> AsyncIterator[FetchBench]:
    """A loop that turns, told to take; ended at the end."""
    monkeypatch.setattr(fetch_turns, "turn", lambda keys, request: request)

    bench = FetchBench(handler, **more)

    async def adopt(*args: Any, **more: Any) -> list[Any]:
        return bench.redis.adopted

    monkeypatch.setattr(fetch_loop, "adopt", adopt)
    assert await bench.loop.connect()
    bench.loop.resume()
    task = asyncio.create_task(bench.loop.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
