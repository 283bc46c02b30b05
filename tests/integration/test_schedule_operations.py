"""What the commands `schedule …` do to Redis and report, whoever made the schedule."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import redis

from jobd.client import Queue
from jobd.engine.schedulers import Repeat, Scheduler, Template
from jobd.errors import NotThere, Refused
from jobd.operations.schedules import schedule_row
from tests.support.operations import perform
from tests.support.redis_server import RedisServer

Do = Callable[..., Any]


@pytest.fixture
def do(redis_server: RedisServer, prefix: str) -> Do:
    return partial(perform, redis_server.url, prefix)


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("reports", url=redis_server.url, prefix=prefix) as queue:
        yield queue


def test_they_are_listed_the_next_one_first(do: Do, queue: Queue, redis_server: RedisServer, prefix: str) -> None:
    queue.schedule("yearly", "sum", cron="0 0 1 1 *", timezone="Asia/Tokyo", limit=9)
    with Queue("mail", url=redis_server.url, prefix=prefix) as mail:
        mail.schedule("tick", every="5m")
    tick, yearly = do("schedule.list")["schedules"]
    assert (tick["name"], tick["queue"], tick["every_ms"], tick["state"]) == ("tick", "mail", 300_000, "running")
    assert {name: yearly[name] for name in ("name", "job", "cron", "timezone", "limit", "iterations", "app")} == {
        "name": "yearly", "job": "sum", "cron": "0 0 1 1 *", "timezone": "Asia/Tokyo", "limit": 9, "iterations": 1,
        "app": None,
    }  # fmt: skip
    assert [row["name"] for row in do("schedule.list", queue="reports")["schedules"]] == ["yearly"]


def test_the_run_that_is_to_come_is_none_yet(do: Do, queue: Queue) -> None:
    # BullMQ's counter is at 1 from the start.
    queue.schedule("nightly", "full", cron="15 3 * * *")
    [row] = do("schedule.list", queue="reports")["schedules"]
    assert (row["runs"], row["iterations"]) == (0, 1)
    assert do("schedule.pause", name="nightly")["schedule"]["runs"] == 0


@pytest.mark.parametrize(
    ("limit", "next_in_ms", "runs"), [(None, 60_000, 2), (3, 60_000, 2), (3, -60_000, 3), (None, -60_000, 2)]
)
def test_runs_are_those_that_have_begun_the_last_one_too(limit: int | None, next_in_ms: int, runs: int) -> None:
    now_ms = int(time.time() * 1000)
    found = Scheduler("s", Repeat(every_ms=60_000, limit=limit), Template("n"), 3, now_ms + next_in_ms)
    assert schedule_row("q", found)["runs"] == runs


def test_run_adds_its_job_and_leaves_the_schedule(do: Do, queue: Queue) -> None:
    queue.schedule("nightly", "full", {"a": 1}, cron="15 3 * * *", attempts=4, priority=2)
    before = queue.schedules()
    found = do("schedule.run", name="nightly")
    job = queue.get(found["id"])
    assert job is not None
    assert (job.name, job.data, job.priority, job.opts["attempts"], job.scheduler_id) == ("full", {"a": 1}, 2, 4, None)
    assert queue.schedules() == before


def test_pause_and_resume_keep_the_rhythm(do: Do, queue: Queue, r: redis.Redis, prefix: str) -> None:
    start = int(time.time() * 1000) - 1
    queue.schedule("tick", "n", {"a": 1}, every="1h", offset="7m", attempts=3)
    (before,) = queue.schedules()
    row = do("schedule.pause", name="tick")["schedule"]
    assert (row["state"], row["paused_by"], row["next_at"], row["paused_at"] >= start) == (
        "paused",
        "alice",
        None,
        True,
    )
    assert r.zcard(f"{prefix}:reports:repeat") == r.zcard(f"{prefix}:reports:delayed") == 0
    assert do("schedule.next", name="tick")["next"] == []
    assert do("schedule.pause", name="tick")["schedule"]["state"] == "paused"
    assert do("schedule.resume", name="tick")["schedule"]["state"] == "running"
    assert queue.schedules() == [before]
    assert do("schedule.resume", name="tick")["schedule"]["state"] == "running"
    assert r.zcard(f"{prefix}:reports:delayed") == 1


def test_a_job_that_waits_outlives_the_pause(do: Do, queue: Queue) -> None:
    queue.schedule("tick", every="1h")
    do("schedule.pause", name="tick")
    assert queue.counts()["waiting"] == 1


def test_next_tells_due_times(do: Do, queue: Queue) -> None:
    queue.schedule("tick", every="1h", limit=3)
    queue.schedule("daily", cron="30 2 * * *", timezone="Europe/Athens", limit=100)
    times = do("schedule.next", name="tick", count=5)["next"]
    assert [b - a for a, b in pairwise(times)] == [3_600_000, 3_600_000]
    days = do("schedule.next", name="daily", count=4)["next"]
    assert len(days) == 4
    assert all(abs(b - a - 86_400_000) <= 3_600_000 for a, b in pairwise(days))


def test_an_unknown_one_is_told_with_the_known_ones(do: Do, queue: Queue) -> None:
    queue.schedule("tick", every="1h")
    with pytest.raises(NotThere) as told:
        do("schedule.run", name="tock")
    assert (told.value.code, told.value.known) == ("schedule-unknown", ("tick",))


def test_one_name_in_two_queues_needs_the_queue(do: Do, queue: Queue, redis_server: RedisServer, prefix: str) -> None:
    with Queue("mail", url=redis_server.url, prefix=prefix) as mail:
        for one in (queue, mail):
            one.schedule("tick", every="1h")
    with pytest.raises(Refused, match="mail, reports; add --queue"):
        do("schedule.pause", name="tick")
    assert do("schedule.pause", name="tick", queue="mail")["schedule"]["queue"] == "mail"


@pytest.mark.parametrize("opts", ["[", "[]", '{"delay":1e999}', "5"])
def test_options_that_others_have_broken_are_told(do: Do, queue: Queue, r: redis.Redis, prefix: str, opts: str) -> None:
    queue.schedule("nightly", "full", cron="15 3 * * *")
    r.hset(f"{prefix}:reports:repeat:nightly", "opts", opts)
    do("schedule.pause", name="nightly")
    for act in ("schedule.run", "schedule.resume"):
        with pytest.raises(Refused, match="no JSON object"):
            do(act, name="nightly")


@pytest.mark.parametrize(("field", "value"), [("tz", "Europe/Atlantis"), ("pattern", "every full moon")])
def test_a_moment_that_cannot_be_told_here_is_no_mistake_of_who_asks(
    do: Do, queue: Queue, r: redis.Redis, prefix: str, field: str, value: str
) -> None:
    queue.schedule("daily", cron="30 2 * * *", timezone="Europe/Athens")
    r.hset(f"{prefix}:reports:repeat:daily", field, value)
    with pytest.raises(Refused, match=rf'cannot tell when schedule "daily" is due: .*{value}'):
        do("schedule.next", name="daily", count=2)
    do("schedule.pause", name="daily")
    with pytest.raises(Refused, match=value) as told:
        do("schedule.resume", name="daily")
    assert (told.value.code, told.value.exit_code) == ("schedule-unreadable", 1)
