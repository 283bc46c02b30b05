"""Schedules shared with BullMQ: the same moments, each run once whoever takes it, each side's seen by the other."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

from jobd.client import Queue
from jobd.engine.cron import Cron
from jobd.errors import InputError
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, numbers

pytestmark = pytest.mark.node

PEER = Path(__file__).with_name("schedules.cjs")
Ask = Callable[..., Any]


@pytest.fixture
def ask(redis_server: RedisServer, prefix: str) -> Iterator[Ask]:
    """BullMQ on the queue `reports`: ask(verb, args) returns its answer."""
    with start_node(PEER, redis_server.tcp_url, prefix, "reports") as process:
        assert process.stdin is not None

        def call(verb: str, args: Any = None) -> Any:
            return _talk(process, verb, args)

        yield call
        process.stdin.close()
        process.wait(20)


def _talk(process: subprocess.Popen[str], verb: str, args: Any) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps({"verb": verb, "args": args}), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline())
    assert "error" not in answer, answer["error"]
    return answer["answer"]


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("reports", url=redis_server.url, prefix=prefix) as queue:
        yield queue


ZONES = (
    "UTC", "America/New_York", "Europe/Athens", "Europe/London", "Asia/Kolkata", "Australia/Sydney", "America/St_Johns",
    "America/Sao_Paulo", "Africa/Cairo", "America/Santiago", "Pacific/Auckland",
)  # fmt: skip
PATTERNS = (
    "30 2 * * *", "30 1 * * *", "30 * * * *", "0 */2 * * *", "0 15 2 * * *", "*/20 * * * *", "0 0 * * *",
    "15 1-3 * * *", "0 3 * * *", "5 1 * * 0", "*/10 1,2 * * *", "@daily", "@weekly", "*/7 * * * * *", "30 23 * * *",
    "0 30 2 * * 0", "0 0 1 * *", "0 12 L * *", "0 9 * * MON-FRI", "15 10 ? * 5L", "0 0 * * 5#2", "0 0 13 * 5",
    "0 0 */2 * 1", "*/5 9-17 * * 1,3,5", "0 0 29 2 *", "0 4 1,15 * *", "23 0-20/2 * * *", "0 0 * JAN,JUL 7",
    "30 0-23 * * *",
    "0-30/10 2 * * *", "45 1,2,3 * * *", "10 45 0 * * *",
)  # fmt: skip
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def jumps(name: str) -> list[datetime]:
    """The hours of the year in which a zone's clock jumps."""
    zone, hours = ZoneInfo(name), [YEAR + timedelta(hours=hour) for hour in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hour for hour, before, after in zip(hours, offsets, offsets[1:], strict=False) if before != after]


def moments(name: str, draw: random.Random) -> list[int]:
    """Some moments of a year, and many around the zone's jumps; ms since 1970."""
    found = [YEAR + timedelta(milliseconds=draw.randrange(366 * 86_400_000)) for _ in range(8)]
    for jump in jumps(name):
        found += [jump + timedelta(minutes=minute) for minute in (-130, -87, -60, -1, 0, 30, 42, 60, 85, 120, 171)]
    return [int(moment.timestamp() * 1000) for moment in found]


def test_cron_is_due_when_node_says_so(ask: Ask) -> None:
    draw = random.Random(7)
    rows = [(pattern, zone, moments(zone, draw)) for zone in ZONES for pattern in PATTERNS]
    theirs = ask("cron", rows)
    differs = []
    for (pattern, zone, asked), answers in zip(rows, theirs, strict=True):
        ours = Cron(pattern, zone)
        for moment, wanted in zip(asked, answers, strict=True):
            found = ours.after(moment)
            if found != wanted:
                differs.append((pattern, zone, moment, wanted, found))
    assert differs == []
    assert sum(len(answers) for answers in theirs) > 7_000


@pytest.mark.parametrize(
    "pattern",
    ["60 * * * *", "* 24 * * *", "0 0 * * 8", "FRI-MON * * * *", "0 0 * * FRI-MON", "5-1 * * * *", "0 0 15W * *",
     "0 0 L-2 * *", "0 0 LW * *", "0 0 * * 1#6", "*/0 * * * *", "a b c d e", "L * * * *", "0 0 1 1 * 2030"],
)  # fmt: skip
def test_what_node_cannot_read_is_refused(ask: Ask, pattern: str) -> None:
    assert ask("cron", [[pattern, "UTC", [0]]]) == [[None]]
    with pytest.raises(InputError, match="cannot read"):
        Cron(pattern)


def test_each_side_sees_and_changes_the_schedules_of_the_other(ask: Ask, queue: Queue) -> None:
    queue.schedule("ours", "tick", {"a": 1}, cron="15 3 * * *", timezone="Europe/Athens", attempts=3, limit=5)
    ask("upsert", ["theirs", {"pattern": "0 4 * * *", "tz": "Asia/Tokyo"}, {"name": "tock", "data": {"b": 2}}])
    found = {one["key"]: one for one in ask("list")}
    ours = queue.get_schedule("ours")
    assert ours is not None
    assert found["ours"] == {
        "key": "ours", "name": "tick", "next": ours.next_at, "iterationCount": 1, "limit": 5, "tz": "Europe/Athens",
        "pattern": "15 3 * * *", "offset": 0, "template": {"data": {"a": 1}, "opts": {"attempts": 3}},
    }  # fmt: skip
    theirs = {one.id: one for one in queue.schedules()}["theirs"]
    assert (theirs.next_at, theirs.repeat.pattern, theirs.repeat.timezone, theirs.template.name) == (
        found["theirs"]["next"], "0 4 * * *", "Asia/Tokyo", "tock",
    )  # fmt: skip
    assert ask("upsert", ["ours", {"every": 60_000}, {"name": "taken over"}]).startswith("repeat:ours:")
    again = queue.get_schedule("ours")
    assert again is not None
    assert (again.repeat.every_ms, again.template.name) == (60_000, "taken over")
    assert queue.unschedule("theirs") is True
    assert ask("get", "theirs") is None
    assert ask("remove", "ours") is True
    assert queue.schedules() == []


@pytest.mark.parametrize("made_by", ["node", "jobd"])
def test_every_run_is_taken_once_by_node_or_by_us(
    ask: Ask, queue: Queue, redis_server: RedisServer, r: redis.Redis, prefix: str, made_by: str
) -> None:
    with WorkerParent(redis_server.url, prefix) as parent:
        parent.start("reports", numbers("basic:echo"))
        ask("work")
        for name, every in (("a", 50), ("b", 70)):
            if made_by == "node":
                ask("upsert", [name, {"every": every}, {"name": "tick", "data": {"of": name}}])
            else:
                queue.schedule(name, "tick", {"of": name}, every=every / 1000)
        ask("upsert", ["c", {"pattern": "* * * * * *"}, {"name": "tick"}])
        completed = f"{prefix}:reports:completed"
        wait_until(lambda: r.zcard(completed) >= 80, 30)
        for name in ("a", "b", "c"):
            queue.unschedule(name)
        wait_until(lambda: not queue.counts()["active"] and not queue.counts()["waiting"])
        by_node = set(ask("rest"))
    done = set(r.zrange(completed, 0, -1))
    events = [fields for _, fields in r.xrange(f"{prefix}:reports:events")]
    runs = [fields["jobId"] for fields in events if fields["event"] == "active"]
    assert sorted(runs) == sorted(done)
    assert by_node < done  # both sides had some
    for name, every in (("a", 50), ("b", 70)):
        slots = sorted(int(one.rpartition(":")[2]) for one in done if one.startswith(f"repeat:{name}:"))
        assert {slot % every for slot in slots} == {slots[0] % every}
    assert r.zcard(f"{prefix}:reports:failed") == 0


def test_bullmq_takes_what_jobd_keeps_for_no_orphan(ask: Ask, queue: Queue, r: redis.Redis) -> None:
    queue.schedule("ours", every="1h")
    r.hset(queue.keys.schedules, "s:ours", "{}")
    ask("orphans")
    assert r.hgetall(queue.keys.schedules) == {"s:ours": "{}"}
    assert queue.get_schedule("ours") is not None
