"""The wait for work: markers, and the moment a delayed job is due."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from jobd.engine.job import TurnReply
from jobd.engine.keys import Keys
from jobd.engine.runner import Command
from jobd.locate import RedisSource
from jobd.worker.fetch import wait as marker
from jobd.worker.fetch.wait import MarkerWait, RedisClock, ahead_of_redis_ms, client_name

NOW_MS = 1_700_000_000_000
"""What the wall clock shows when a test begins."""


class FakeConnection:
    """Stands in for the connection: `answers` are its replies to BZPOPMIN in order, then none ever comes."""

    is_open = True
    client_id = 1

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[Any] = []

    async def words(self, *commands: Any) -> list[Any]:
        if commands[0][0] == "TIME":
            return [NoPermissionError("no permissions to run the 'time' command")]
        self.sent += commands
        if not self.answers:
            await asyncio.Event().wait()
        return [self.answers.pop(0)]

    def drop(self) -> None: ...


class Taker:
    """Stands in for the turn loop of a busy worker: it wants a marker and sends no turn ahead."""

    def __init__(self, found: asyncio.Event) -> None:
        self.look_again = found.set
        self.waits_answered = 0

    def waited(self) -> None:
        self.waits_answered += 1

    def wants_marker(self) -> bool:
        return True

    def turn_ahead(self, clock_ms: int) -> None:
        return None

    def landed(self, reply: Any) -> None:
        raise AssertionError("no turn was sent")

    def lost_ahead(self, error: Exception) -> None:
        raise AssertionError("no turn was sent")


class NoTimePasses(selectors.DefaultSelector):
    """A loop's selector that does not sleep: when nothing is to do, its clock stands at the next timer at once."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nobody will ever wake the loop"
        self.now_s += timeout
        return super().select(0)


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the selector's."""

    def __init__(self) -> None:
        self.clock = NoTimePasses()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now_s


def found_after(
    monkeypatch: pytest.MonkeyPatch, wire: FakeConnection, next_due_ms: int | None, *, answered: int = 0
) -> float:
    """Ask once, at NOW_MS; return how many milliseconds later `found` was called. `answered`: waits told until then."""
    monkeypatch.setattr(marker, "Connection", lambda *_, **__: wire)

    async def ask() -> float:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(marker, "_now_ms", lambda: NOW_MS + loop.time() * 1000)
        found = asyncio.Event()
        taker = Taker(found)
        wait = MarkerWait(RedisSource("redis://nowhere"), Keys("bull", "mail"), "w", taker, RedisClock())
        running = asyncio.ensure_future(wait.run())
        began = loop.time()
        wait.ask(next_due_ms)
        await found.wait()
        running.cancel()
        # By these a daemon knows that the queue is fetched for, though no turn is sent.
        assert not answered or taker.waits_answered == answered
        return (loop.time() - began) * 1000

    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(ask())


def test_client_name_is_what_bullmq_lists_workers_by() -> None:
    assert client_name(Keys("bull", "email"), "host:1") == "bull:ZW1haWw=:w:host:1"


def test_client_name_of_any_prefix_is_one_redis_takes() -> None:
    assert client_name(Keys("ü b", "q"), "w") == "__b:cQ==:w:w"


def test_due_time_is_kept_though_redis_ends_the_wait_late(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_after(monkeypatch, FakeConnection(), NOW_MS + 20) == pytest.approx(20)


def test_due_time_of_a_marker_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = FakeConnection([b"bull:mail:marker", b"1", str(NOW_MS + 20).encode()])
    assert found_after(monkeypatch, wire, None) == pytest.approx(20)


def test_moments_in_any_number_are_waited_over(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [b"bull:mail:marker", b"1", str(NOW_MS + 20).encode()]
    assert found_after(monkeypatch, FakeConnection(*[moment] * 5_000), None, answered=5_000) == pytest.approx(20)


def test_marker_of_work_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = FakeConnection([b"bull:mail:marker", b"0", b"0"])
    assert found_after(monkeypatch, wire, NOW_MS + 5_000) == 0


def test_end_of_a_wait_without_a_marker_is_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_after(monkeypatch, FakeConnection(None), None) == 0


def test_redis_time_goes_on_whatever_is_done_to_the_clock_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        async def words(self, *commands: Any) -> list[Any]:
            return [[b"1000", b"500000"]]

    async def scene() -> None:
        clock = RedisClock()
        assert clock.now_ms() is None
        await clock.follow(Told())  # type: ignore[arg-type]
        wall = marker.time.time
        monkeypatch.setattr(marker.time, "time", lambda: wall() + 3600)
        known = clock.now_ms()
        assert known is not None
        assert 1_000_500 <= known < 1_030_000

    asyncio.run(scene())


class Wire(FakeConnection):
    """A connection on which the test answers each wait that has a turn behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[asyncio.Future[list[Any]], Any]] = []

    async def words(self, *commands: Any) -> list[Any]:
        return [[b"1700000000", b"0"]]

    def begin_words(self, commands: Any, direct: Any) -> asyncio.Future[list[Any]]:
        self.begun.append((asyncio.get_running_loop().create_future(), direct))
        return self.begun[-1][0]

    async def answer(self, begun: asyncio.Future[list[Any]]) -> list[Any]:
        return await begun

    def arrive(self, *replies: Any) -> None:
        """Answer the last wait, as Redis does: replies to the wait and to the turn."""
        begun, direct = self.begun[-1]
        if not direct(list(replies)):
            begun.set_result(list(replies))


class Idle:
    """Stands in for the turn loop of an idle worker; `landed` gets what the turns sent ahead have brought."""

    def __init__(self) -> None:
        self.brought: list[TurnReply] = []
        self.dies: Exception | None = None
        self.looks = 0

    def wants_marker(self) -> bool:
        return True

    def look_again(self) -> None:
        self.looks += 1

    def turn_ahead(self, clock_ms: int) -> Command[TurnReply]:
        return Command(("TURN",), lambda reply: TurnReply([], reply))

    def landed(self, reply: TurnReply) -> None:
        self.brought.append(reply)
        if self.dies is not None:
            raise self.dies

    def lost_ahead(self, error: Exception) -> None:
        raise AssertionError("no reply was lost")


@contextlib.asynccontextmanager
async def idle_worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[MarkerWait, Wire, Idle, Any]]:
    """A wait whose first turn has brought nothing; nobody has asked since."""
    wire, taker = Wire(), Idle()
    monkeypatch.setattr(marker, "Connection", lambda *_, **__: wire)
    wait = MarkerWait(RedisSource("redis://nowhere"), Keys("bull", "mail"), "w", taker, RedisClock())
    running = asyncio.ensure_future(wait.run())
    wait.ask(None)
    for _ in range(5):
        await asyncio.sleep(0)
    wire.arrive(None, [])
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(wire.begun) == len(taker.brought) == 1
    try:
        yield wait, wire, taker, running
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_idle_worker_waits_again_where_it_is_asked_and_takes_the_reply_where_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with idle_worker(monkeypatch) as (wait, wire, taker, _):
            wait.ask(None)
            assert len(wire.begun) == 2
            assert wait.blocked_client
            wire.arrive([b"bull:mail:marker", b"0", b"0"], ["job"])
            assert taker.brought[1].jobs == ["job"]
            assert not wait.blocked_client
            wait.ask(None)
            assert len(wire.begun) == 3

    asyncio.run(main())


def test_asked_while_a_turn_lies_behind_the_wait_it_waits_again_behind_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with idle_worker(monkeypatch) as (wait, wire, taker, _):
            wait.ask(None)
            wait.ask(None)
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(wire.begun) == 2
            wire.arrive([b"bull:mail:marker", b"0", b"0"], ["job"])
            assert len(taker.brought) == 2
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(wire.begun) == 3

    asyncio.run(main())


def test_refused_turn_behind_the_wait_lets_the_worker_look_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with idle_worker(monkeypatch) as (wait, wire, taker, _):
            wait.ask(None)
            wire.arrive([b"bull:mail:marker", b"0", b"0"], ResponseError("OOM command not allowed"))
            for _ in range(5):
                await asyncio.sleep(0)
            assert [reply.jobs for reply in taker.brought] == [[], []]
            assert taker.looks == 1

    asyncio.run(main())


def test_what_the_taker_dies_of_where_the_reply_comes_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with idle_worker(monkeypatch) as (wait, wire, taker, running):
            wait.ask(None)
            taker.dies = ZeroDivisionError("a fault of jobd's own")
            wire.arrive([b"bull:mail:marker", b"0", b"0"], ["job"])
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(running, 5)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("redis_ms", "ahead_ms"),
    [(100_000.0, 0), (100_000.9, 0), (100_010.0, 0), (99_999.0, 6), (100_012.0, -7), (40_005.0, 60_000)],
)
def test_a_clock_is_ahead_only_by_what_the_round_trip_does_not_explain(redis_ms: float, ahead_ms: int) -> None:
    assert ahead_of_redis_ms(100.0, redis_ms, 100.010) == ahead_ms
