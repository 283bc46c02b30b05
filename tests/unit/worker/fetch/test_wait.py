"""The wait for work: markers, and the moment a delayed job is due."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from jobd.engine.keys import Keys
from jobd.locate import RedisSource
from jobd.worker.fetch import wait as marker
from jobd.worker.fetch.wait import MarkerWait, client_name

SOON_MS = 20


class Wire:
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
        self.hungry = found.set

    def wants_marker(self) -> bool:
        return True

    def turn_ahead(self, clock_ms: int) -> None:
        return None

    def landed(self, reply: Any) -> None:
        raise AssertionError("no turn was sent")

    def lost_ahead(self, error: Exception) -> None:
        raise AssertionError("no turn was sent")


def found_after(
    monkeypatch: pytest.MonkeyPatch, wire: Wire, next_due_ms: int | None, *, deadline: float = 2.0
) -> float:
    """Ask once; return how many milliseconds later `found` was called."""
    monkeypatch.setattr(marker, "Wire", lambda *_: wire)

    async def ask() -> float:
        found = asyncio.Event()
        wait = MarkerWait(RedisSource("redis://nowhere"), Keys("bull", "mail"), "w", Taker(found))
        running = asyncio.ensure_future(wait.run())
        began = time.monotonic()
        wait.ask(next_due_ms)
        async with asyncio.timeout(deadline):
            await found.wait()
        running.cancel()
        return (time.monotonic() - began) * 1000

    return asyncio.run(ask())


def test_client_name_is_what_bullmq_lists_workers_by() -> None:
    assert client_name(Keys("bull", "email"), "host:1") == "bull:ZW1haWw=:w:host:1"


def test_client_name_of_any_prefix_is_one_redis_takes() -> None:
    assert client_name(Keys("ü b", "q"), "w") == "__b:cQ==:w:w"


def due() -> int:
    return round(time.time() * 1000) + SOON_MS


def test_due_time_is_kept_though_redis_ends_the_wait_late(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_after(monkeypatch, Wire(), due()) >= SOON_MS - 1


def test_due_time_of_a_marker_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire([b"bull:mail:marker", b"1", str(due()).encode()])
    assert found_after(monkeypatch, wire, None) >= SOON_MS - 1


def test_marker_of_work_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire([b"bull:mail:marker", b"0", b"0"])
    assert found_after(monkeypatch, wire, due() + 60_000) < 1000


def test_end_of_a_wait_without_a_marker_is_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_after(monkeypatch, Wire(None), None) < 1000
