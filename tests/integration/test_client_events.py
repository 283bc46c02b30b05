"""Queue.events and AsyncQueue.events: what they tell, from where, and what they survive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.client import AsyncQueue, InputError, Queue, QueueEvent
from tests.support.redis_server import RedisServer


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("q", url=redis_server.url, prefix=prefix) as queue:
        yield queue


def told(events: Any) -> list[tuple[str, str | None]]:
    return [(event.name, event.job_id) for event in events]


def test_it_begins_now_or_behind_an_event_or_with_the_first(queue: Queue) -> None:
    first = queue.add("a").id
    events = queue.events(timeout="50ms")
    second = queue.add("b").id
    assert told(events) == [("added", second), ("waiting", second)]
    kept = list(queue.events(after="0", timeout="10ms"))
    assert told(kept) == [("added", first), ("waiting", first), ("added", second), ("waiting", second)]
    assert told(queue.events(after=kept[1].id, timeout="10ms")) == told(kept[2:])


def test_names_and_a_job_choose(queue: Queue) -> None:
    first, second = queue.add("a"), queue.add("b", delay="1h")
    assert told(queue.events("added", after="0", timeout="10ms")) == [("added", first.id), ("added", second.id)]
    by_handle = list(queue.events(job=second, after="0", timeout="10ms"))
    assert told(by_handle) == [("added", second.id), ("delayed", second.id)]
    assert told(queue.events("waiting", job=first.id, after="0", timeout="10ms")) == [("waiting", first.id)]


def test_what_the_texts_mean(queue: Queue, r: Any) -> None:
    def one(**fields: str) -> QueueEvent:
        event_id = r.xadd(queue.keys.events, fields)
        [event] = queue.events(after="0", timeout="1ms")
        r.delete(queue.keys.events)
        assert event.id == event_id
        return event

    done = one(event="completed", jobId="a:1", returnvalue='{"n":[1,null]}', prev="active")
    assert (done.result, done.previous, done.job_id, done.failed_reason) == ({"n": [1, None]}, "active", "a:1", None)
    assert one(event="failed", jobId="1", failedReason="ü: null").failed_reason == "ü: null"
    assert one(event="progress", jobId="1", data="50").progress == 50
    assert one(event="delayed", jobId="1", delay="1795486729634.0002").due_at == 1795486729634
    assert one(event="drained").job_id is None
    custom = one(event="mine", data="not json")
    assert (custom.name, custom.progress, custom.result, dict(custom.fields)["data"]) == (
        "mine",
        None,
        None,
        "not json",
    )


@pytest.mark.parametrize("after", ["now", "", "$", "1-", -5])
def test_what_is_no_events_id_is_refused(queue: Queue, after: Any) -> None:
    with pytest.raises(InputError, match="after"):
        queue.events(after=after)


def test_it_waits_for_what_comes_and_close_ends_it(queue: Queue) -> None:
    seen: list[str] = []
    came = threading.Event()

    def read() -> None:
        for event in events:
            seen.append(event.name)
            came.set()

    events = queue.events("paused")
    reader = threading.Thread(target=read)
    reader.start()
    queue.add("a")
    queue.pause()
    assert came.wait(10)
    queue.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen == ["paused"]


def test_over_a_restart_of_redis_nothing_is_missed_or_told_twice(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, durable=True).start()
    try:
        with Queue("q", url=server.url) as queue:
            events = queue.events("added")
            before = [_added(server) for _ in range(3)]
            assert [next(events).job_id for _ in before] == before
            server.kill()
            back = threading.Timer(0.3, server.start)
            back.start()  # asked while nobody answers
            waiting = threading.Thread(target=lambda: seen.append(next(events).job_id))
            seen: list[str | None] = []
            waiting.start()
            back.join()
            after = [_added(server) for _ in range(3)]
            waiting.join(10)
            assert [*seen, *(next(events).job_id for _ in after[1:])] == after
    finally:
        server.stop()


def _added(server: RedisServer) -> str:
    with Queue("q", url=server.url) as queue:
        return queue.add("a").id


def test_the_same_awaited(redis_server: RedisServer, prefix: str) -> None:
    async def work() -> None:
        async with AsyncQueue("q", url=redis_server.url, prefix=prefix) as queue:
            first = await queue.add("a")
            assert [event.name async for event in queue.events(job=first, after="0", timeout="20ms")] == [
                "added", "waiting",
            ]  # fmt: skip
            events = queue.events("paused")
            waiting = asyncio.ensure_future(anext(events))
            while not waiting.done():
                await queue.pause()
                await queue.resume()
                await asyncio.sleep(0.01)
            assert waiting.result().name == "paused"
            rest = asyncio.ensure_future(_all(events))
            await asyncio.sleep(0)
        await asyncio.wait_for(rest, 10)

    async def _all(events: Any) -> list[Any]:
        return [event async for event in events]

    asyncio.run(work())
