"""The wait for work: markers, and the moment a delayed job is due."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from jobd.engine.keys import Keys
from jobd.locate import RedisSource
from jobd.worker.fetch import wait as marker
from jobd.worker.fetch.wait import MarkerWait, RedisClock, client_name

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


def found_after(monkeypatch: pytest.MonkeyPatch, wire: FakeConnection, next_due_ms: int | None) -> float:
    """Ask once, at NOW_MS; return how many milliseconds later `found` was called."""
    monkeypatch.setattr(marker, "Connection", lambda *_, **__: wire)

    async def ask() -> float:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(marker, "_now_ms", lambda: NOW_MS + loop.time() * 1000)
        found = asyncio.Event()
        wait = MarkerWait(RedisSource("redis://nowhere"), Keys("bull", "mail"), "w", Taker(found), RedisClock())
        running = asyncio.ensure_future(wait.run())
        began = loop.time()
        wait.ask(next_due_ms)
        await found.wait()
        running.cancel()
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
    assert found_after(monkeypatch, FakeConnection(*[moment] * 5_000), None) == pytest.approx(20)


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
