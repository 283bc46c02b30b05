"""What `queue empty`, `clean` and `obliterate` delete, refuse and report, and what `job wait` sees meanwhile."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis

from jobd.engine.clearing import SLICE
from jobd.engine.keys import Keys
from jobd.errors import InputError, NotThere, Refused
from tests.integration.test_operations import put_failed
from tests.support.operations import Ops
from tests.support.waiting import wait_until


def run_one(r: redis.Redis, keys: Keys) -> str:
    """Let somebody hold the next job."""
    job_id = r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
    assert isinstance(job_id, str)
    r.set(keys.lock(job_id), "token")
    return job_id


def test_emptying_deletes_what_waits_and_with_delayed_what_is_due_later(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for options in ({}, {}, {"priority": 1}, {"delay": "1h"}):
        ops.add(**options)
    run_one(r, keys)
    put_failed(r, keys, "f")
    told = ops("queue.empty", queue="email", dry_run=True)
    assert (told["removed"], told["before"]["waiting"], r.llen(keys.wait)) == (2, 1, 1)
    told = ops("queue.empty", queue="email")
    assert (told["removed"], told["before"]["prioritized"], told["after"]) == (2, 1, {
        "waiting": 0, "prioritized": 0, "delayed": 1, "active": 1, "completed": 0, "failed": 1, "waiting-children": 0,
    })  # fmt: skip
    assert ops("queue.empty", queue="email", delayed=True)["removed"] == 1
    assert {job["id"] for job in ops("job.list", queue="email")["jobs"]} == {"1", "f"}


def test_a_long_queue_is_emptied_in_slices_and_what_comes_meanwhile_stays(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    r.hset(keys.meta, "opts.maxLenEvents", 10000)
    ids = [f"j{number}" for number in range(2 * SLICE + 7)]
    for job_id in ids:
        r.hset(keys.job(job_id), mapping={"name": "n", "timestamp": 1})
    r.lpush(keys.wait, *ids)
    assert ops("queue.empty", queue="email")["removed"] == len(ids)
    assert r.keys(keys.base + "*") == [keys.meta]


def test_the_next_job_of_a_scheduler_stays_wherever_it_stands(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    own = "repeat:tick:1795486615995"
    r.zadd(keys.repeat, {"tick": 1795486615995})
    for job_id in ("a", own, "b", "c"):
        r.hset(keys.job(job_id), mapping={"name": "n", "timestamp": 1, **({"rjk": "tick"} if job_id == own else {})})
        r.lpush(keys.wait, job_id)
    r.hset(keys.meta, "opts.maxLenEvents", 10000)
    assert ops("queue.empty", queue="email")["removed"] == 3
    assert r.lrange(keys.wait, 0, -1) == [own]
    assert ops("queue.obliterate", queue="email")["removed"] == 1
    assert r.keys(keys.base + "*") == []


def test_orphans_are_counted_told_and_removed(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add()
    there = set(r.keys(keys.base + "*"))
    r.hset(keys.job("left"), mapping={"name": "n", "timestamp": 1})
    r.rpush(keys.logs("left"), "line")
    r.rpush(keys.logs("gone"), "line")
    told = ops("queue.remove-orphans", queue="email", dry_run=True)
    assert (told["removed"], sorted(told["ids"])) == (2, ["gone", "left"])
    assert r.exists(keys.job("left"), keys.logs("left"), keys.logs("gone")) == 3
    told = ops("queue.remove-orphans", queue="email")
    assert (told["removed"], sorted(told["ids"])) == (2, ["gone", "left"])
    assert set(r.keys(keys.base + "*")) == there
    with pytest.raises(NotThere):
        ops("queue.remove-orphans", queue="nowhere")
    r.rpush(Keys(keys.prefix, "nowhere").logs("gone"), "line")
    assert ops("queue.remove-orphans", queue="nowhere")["removed"] == 1


def test_cleaning_takes_the_oldest_of_one_state_by_age_and_limit(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for number in range(5):
        put_failed(r, keys, f"f{number}", ago_ms=10_000 * (5 - number))
    chosen: dict[str, Any] = {"queue": "email", "state": "failed", "older_ms": 25_000}
    assert ops("queue.clean", **chosen, dry_run=True)["removed"] == 3
    assert ops("queue.clean", **chosen, dry_run=True, limit=2)["removed"] == 2
    told = ops("queue.clean", **chosen, limit=2)
    assert (told["removed"], told["after"]["failed"]) == (2, 3)
    assert r.zrange(keys.failed, 0, -1) == ["f2", "f3", "f4"]
    assert [event["count"] for _, event in r.xrange(keys.events) if event["event"] == "cleaned"] == ["2"]
    with pytest.raises(InputError, match="waiting-children"):
        ops("queue.clean", queue="email", state="waiting-children")


def test_an_active_job_is_cleaned_only_when_nobody_holds_it(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add()
    ops.add()
    run_one(r, keys)
    r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
    assert ops("queue.clean", queue="email", state="active")["removed"] == 1
    assert r.lrange(keys.active, 0, -1) == ["1"]


def test_obliterate_leaves_nothing_of_the_queue(ops: Ops, r: redis.Redis, keys: Keys, prefix: str) -> None:
    for options in ({}, {"priority": 1}, {"delay": "1h"}, {"deduplicate": "d"}):
        ops.add(**options)
    put_failed(r, keys, "f")
    r.hset(keys.job("P"), mapping={"name": "p", "timestamp": 1})
    r.zadd(keys.waiting_children, {"P": 1})
    r.sadd(keys.job("P") + ":dependencies", f"{prefix}:other:C")
    r.set(keys.limiter, 1)
    assert ops("queue.obliterate", queue="email", dry_run=True)["removed"] == 6
    told = ops("queue.obliterate", queue="email")
    assert (told["removed"], set(told["after"].values())) == (6, {0})
    assert r.keys(keys.base + "*") == []
    with pytest.raises(NotThere):
        ops("queue.obliterate", queue="email")


def test_obliterate_refuses_a_queue_whose_jobs_run_and_leaves_it_as_it_was(
    ops: Ops, r: redis.Redis, keys: Keys
) -> None:
    ops.add()
    ops.add()
    run_one(r, keys)
    with pytest.raises(Refused, match="1 of its jobs run") as caught:
        ops("queue.obliterate", queue="email")
    assert (caught.value.code, caught.value.exit_code) == ("queue-busy", 1)
    assert ops("queue.show", queue="email")["queue"]["state"] == "running"
    assert ops("queue.obliterate", queue="email", force=True)["removed"] == 2
    assert r.keys(keys.base + "*") == []


def test_a_listing_is_read_in_parts_and_says_whether_more_follow(ops: Ops) -> None:
    for _ in range(7):
        ops.add()

    def part(offset: int) -> tuple[list[str], bool]:
        told = ops("job.list", queue="email", offset=offset, limit=3)
        return [job["id"] for job in told["jobs"]], told["more"]

    assert [part(0), part(3), part(6)] == [(["1", "2", "3"], True), (["4", "5", "6"], True), (["7"], False)]


def test_a_listing_of_many_large_jobs_is_bounded(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    big = "y" * 16_000
    r.hset(keys.meta, "opts.maxLenEvents", 10000)
    for number in range(700):
        put = {"name": "n", "data": f'{{"x": "{big}"}}', "timestamp": 1}
        r.hset(keys.job(f"j{number}"), mapping=put)
        r.lpush(keys.wait, f"j{number}")
    jobs = ops("job.list", queue="email", limit=700)["jobs"]
    assert len(jobs) == 700
    whole = [job for job in jobs if not job["cut"]]
    assert 500 <= len(whole) < 700
    assert jobs[-1]["cut"] == {"data": 16_009}


def test_running_takes_only_jobs_that_started_long_ago(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for _ in range(3):
        ops.add()
    now = int(time.time() * 1000)
    for ago in (60_000, 1_000):
        r.hset(keys.job(run_one(r, keys)), "processedOn", now - ago)
    assert [job["id"] for job in ops("job.list", queue="email", running_ms=30_000)["jobs"]] == ["1"]
    assert len(ops("job.list", queue="email", running_ms=0)["jobs"]) == 2
    with pytest.raises(InputError, match="active jobs only"):
        ops("job.list", queue="email", running_ms=0, state="failed")


def test_waiting_tells_the_end_of_a_job_as_soon_as_it_has_one(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add()
    first = ops("job.wait", queue="email", id="1", timeout_ms=0)
    assert (first["ended"], first["state"], first["result"]) == (False, "waiting", None)
    told: list[Any] = []
    waiter = threading.Thread(target=lambda: told.append(ops("job.wait", queue="email", id="1")))
    waiter.start()
    r.hset(keys.job("1"), "returnvalue", '{"n": 1}')
    r.zadd(keys.completed, {"1": 1})
    wait_until(lambda: bool(told))
    waiter.join()
    assert (told[0]["ended"], told[0]["state"], told[0]["result"]) == (True, "completed", {"n": 1})


def test_the_end_of_a_job_that_is_not_kept_is_found_in_the_events(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    added = ops.add()
    r.delete(keys.job("1"), keys.wait)
    r.xadd(keys.events, {"event": "failed", "jobId": "1", "failedReason": "boom"})
    told = ops("job.wait", queue="email", id="1", event_id=added["event_id"])
    assert (told["ended"], told["state"], told["failed_reason"]) == (True, "failed", "boom")
    with pytest.raises(NotThere):
        ops("job.wait", queue="email", id="1")
