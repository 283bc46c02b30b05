"""Schedules as producers see them, sync and awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from jobd.client import AsyncQueue, Backoff, Queue
from jobd.errors import InputError
from tests.support.redis_server import RedisServer


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("reports", url=redis_server.url, prefix=prefix) as queue:
        yield queue


def test_a_schedule_is_made_changed_listed_and_removed(queue: Queue) -> None:
    first = queue.schedule("tick", "report", {"kind": "full"}, every="5m", attempts=3, backoff=Backoff.fixed("1s"))
    assert first is not None
    assert first.startswith("repeat:tick:")
    queue.schedule("nightly", cron="15 3 * * *", timezone="Europe/Athens", data={"a": 1})
    tick, nightly = queue.schedules()
    assert (tick.id, tick.repeat.every_ms, tick.iterations, tick.template.name) == ("tick", 300_000, 1, "report")
    assert (nightly.id, nightly.repeat.pattern, nightly.repeat.timezone) == ("nightly", "15 3 * * *", "Europe/Athens")
    assert nightly.next_at is not None
    assert datetime.fromtimestamp(nightly.next_at / 1000, UTC) > datetime.now(UTC)
    assert queue.schedule("tick", "report", every="5m") == first
    assert queue.counts()["waiting"] == 1
    assert queue.unschedule("tick") is True
    assert queue.unschedule("tick") is False
    assert queue.get_schedule("tick") is None
    assert queue.get_schedule("nightly") == nightly


def test_the_same_awaited(redis_server: RedisServer, prefix: str) -> None:
    async def main() -> None:
        async with AsyncQueue("reports", url=redis_server.url, prefix=prefix) as queue:
            assert await queue.schedule("tick", every=60) == f"repeat:tick:{(await queue.schedules())[0].next_at}"
            found = await queue.get_schedule("tick")
            assert found is not None
            assert found.template.name == "tick"
            assert await queue.unschedule("tick") is True
            assert await queue.get_schedule("tick") is None

    asyncio.run(main())


def test_one_that_would_never_be_due_is_not_made(queue: Queue) -> None:
    end = datetime.now(UTC) + timedelta(seconds=20)
    assert queue.schedule("never", cron="0 0 0 1 1 *", end=end) is None
    assert queue.schedules() == []


def test_start_limit_and_offset(queue: Queue) -> None:
    start = round(time.time() * 1000) + 3_600_000
    assert queue.schedule("later", every="1h", start=start) == f"repeat:later:{start}"
    in_rhythm = queue.schedule("hourly", every="1h", offset="10m", limit=3)
    assert in_rhythm is not None
    assert int(in_rhythm.rpartition(":")[2]) % 3_600_000 == 600_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "a schedule has one of `cron` and `every`"),
        ({"every": "1m", "cron": "* * * * *"}, "a schedule has one of `cron` and `every`"),
        ({"every": 0}, "every: must be longer than 0"),
        ({"every": "soon"}, "every: "),
        ({"cron": "0 25 * * *"}, 'cannot read "25" as the hour of the cron pattern "0 25 * * *"'),
        ({"cron": "* * * * *", "timezone": "Mars/Phobos"}, 'unknown time zone "Mars/Phobos"'),
        ({"every": "1m", "timezone": "UTC"}, "timezone: goes with `cron`"),
        ({"every": "1m", "end": 1}, "end: must be in the future"),
        ({"cron": "* * * * *", "immediately": True, "start": 1}, "immediately and start cannot be used together"),
        ({"every": "1m", "limit": 0}, "limit: must be at least 1"),
        ({"every": "1m", "delay": "1s"}, "delay: each run of a schedule gets its own"),
        ({"every": "1m", "job_id": "x"}, "job_id: each run of a schedule gets its own"),
        ({"every": "1m", "prio": 1}, 'unknown option "prio"'),
        ({"every": "1m", "start": "tomorrow"}, "start: expected a datetime or milliseconds since 1970"),
    ],
)
def test_wrong_input_is_told_and_nothing_written(
    queue: Queue, r: redis.Redis, prefix: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError) as told:
        queue.schedule("s", **options)
    assert text in str(told.value)
    assert list(r.scan_iter(f"{prefix}:*")) == []


@pytest.mark.parametrize("sid", ["", None, 3, "\ud800"])
def test_an_id_is_a_text(queue: Queue, sid: Any) -> None:
    with pytest.raises(InputError, match="the id of a schedule"):
        queue.schedule(sid, every="1m")
