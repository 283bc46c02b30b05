"""What the commands `queue …` and `job …` do to Redis and report."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import Any

import pytest
import redis

from jobd.engine.bulk import RETRY, Tally, act_on_chosen
from jobd.engine.connect import async_client
from jobd.engine.inspect import worker_name
from jobd.engine.keys import Keys
from jobd.engine.runner import AsyncRunner
from jobd.engine.selection import PAGE, Selection
from jobd.errors import InputError, NotThere, RedisRefused, Refused
from jobd.locate import RedisSource
from tests.support.operations import Ops
from tests.support.redis_server import RedisServer


def put_failed(
    r: redis.Redis, keys: Keys, job_id: str, *, name: str = "n", reason: str = "boom", ago_ms: int = 0
) -> None:
    at = int(time.time() * 1000) - ago_ms
    r.hset(keys.meta, "opts.maxLenEvents", 10000)
    r.hset(keys.job(job_id), mapping={
        "name": name, "data": "{}", "opts": "{}", "timestamp": at, "finishedOn": at, "failedReason": reason,
    })  # fmt: skip
    r.zadd(keys.failed, {job_id: at})


def test_queues_are_listed_by_name_with_their_counts(ops: Ops) -> None:
    ops.add("email", name="n", data={})
    ops.add("b-side", name="n", data={}, delay="10s")
    rows = ops("queue.list")["queues"]
    assert [(row["name"], row["state"], row["waiting"], row["delayed"], row["why"]) for row in rows] == [
        ("b-side", "running", 0, 1, "nothing_due"),
        ("email", "running", 1, 0, "no_workers"),
    ]
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("wait", "list"), ("active", "list"), ("paused", "list"), ("prioritized", "zset"), ("delayed", "zset"),
     ("completed", "zset"), ("failed", "zset"), ("waiting-children", "zset"), ("1", "hash")],
)  # fmt: skip
def test_a_queue_with_a_key_of_a_wrong_type_is_told_with_the_others(
    ops: Ops, r: redis.Redis, name: str, wanted: str
) -> None:
    for queue in ("email", "other"):
        ops.add(queue, name="n", data={})
    key = Keys(ops.prefix, "email").base + name
    r.delete(key)
    r.set(key, "x")
    broken, other = ops("queue.list")["queues"]
    assert (broken["name"], broken["waiting"], broken["failed"]) == ("email", None, None)
    assert broken["fault"].startswith(f"{key} is a string where a {wanted} belongs; move it away: redis-cli RENAME ")
    assert (other["name"], other["waiting"]) == ("other", 1)
    with pytest.raises(RedisRefused, match=f"{key} is a string"):
        ops("queue.show", queue="email")
    r.rename(key, f"broken:{key}")
    assert "fault" not in ops("queue.show", queue="email")["queue"]
    r.delete(f"broken:{key}")


def test_names_with_glob_characters_do_not_confuse_the_listing(redis_server: RedisServer, prefix: str) -> None:
    odd = Ops(redis_server.url, f"{prefix}[a]*?\\")
    odd.add("email", name="n", data={})
    assert [row["name"] for row in odd("queue.list")["queues"]] == ["email"]


def test_an_unknown_queue_is_told_with_the_known_ones(ops: Ops) -> None:
    ops.add("email", name="n", data={})
    for operation in ("queue.show", "queue.pause", "queue.resume", "job.list"):
        with pytest.raises(NotThere) as caught:
            ops(operation, queue="emial")
        assert (caught.value.code, caught.value.known) == ("queue-unknown", ("email",))


def test_pause_is_shown_with_who_and_why_and_gone_after_resume(ops: Ops) -> None:
    ops.add("email", name="n", data={})
    assert ops("queue.pause", queue="email", reason="cdn down")["queue"]["state"] == "paused"
    row = ops("queue.show", queue="email")["queue"]
    assert (row["state"], row["why"], row["paused_by"], row["paused_why"]) == ("paused", "paused", "alice", "cdn down")
    assert abs(row["paused_at"] - time.time() * 1000) < 60_000
    for _ in range(2):
        row = ops("queue.resume", queue="email")["queue"]
        assert (row["state"], row["paused_by"]) == ("running", None)


def test_a_job_is_shown_with_its_data_and_broken_fields(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    added = ops.add("email", name="welcome", data={"userId": 7})
    events = [event.decode() if isinstance(event, bytes) else event for event, _ in r.xrange(keys.events)]
    assert added.pop("event_id") == events[-1]
    assert added == {"id": "1", "queue": "email", "name": "welcome", "duplicate": False, "deduplicated": False}
    row = ops("job.show", queue="email", id="1")["job"]
    assert (row["data"], row["state"], row["broken"]) == ({"userId": 7}, "waiting", [])
    r.hset(keys.job("1"), "data", "{")
    assert ops("job.show", queue="email", id="1")["job"]["broken"] == ["data"]
    with pytest.raises(NotThere) as caught:
        ops("job.show", queue="email", id="99")["job"]
    assert caught.value.code == "job-unknown"


def test_a_job_is_shown_with_what_lies_beside_it(ops: Ops, r: redis.Redis, keys: Keys, prefix: str) -> None:
    ops.add(delay="1h", job_id="late")
    r.rpush(keys.logs("late"), "line")
    r.sadd(f"{keys.job('late')}:dependencies", f"{prefix}:pages:9")
    r.hset(f"{keys.job('late')}:processed", f"{prefix}:pages:8", "1")
    r.zadd(f"{keys.job('late')}:unsuccessful", {f"{prefix}:pages:7": 1})
    r.hset(keys.job("late"), "defa", "cancelled by bob")
    row = ops("job.show", queue="email", id="late")["job"]
    assert row["due_at"] == row["timestamp"] + 3_600_000
    assert (row["lock_ms"], row["log_lines"], row["deferred_failure"]) == (None, 1, "cancelled by bob")
    assert row["children"] == {
        "pending": [f"{prefix}:pages:9"], "pending_count": 1, "completed_count": 1,
        "failed": [f"{prefix}:pages:7"], "failed_count": 1,
    }  # fmt: skip


def test_a_queue_says_nothing_due_only_when_all_its_jobs_are_due_later(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add(delay="1h", job_id="late")
    assert ops("queue.show", queue="email")["queue"]["why"] == "nothing_due"
    r.rpush(keys.active, "running")
    assert ops("queue.show", queue="email")["queue"]["why"] is None
    ops("job.remove", queue="email", ids=["late"])
    assert ops("queue.show", queue="email")["queue"]["why"] is None


def test_a_queue_that_nobody_serves_says_so_until_a_worker_of_bullmq_connects(
    ops: Ops, redis_server: RedisServer, prefix: str
) -> None:
    ops.add("email", name="n", data={})
    assert ops("queue.show", queue="email")["queue"]["why"] == "no_workers"
    assert [row["why"] for row in ops("queue.list")["queues"]] == ["no_workers"]
    with redis_server.client() as worker:
        worker.client_setname(worker_name(Keys(prefix, "email")))
        assert ops("queue.show", queue="email")["queue"]["why"] is None
        assert [row["why"] for row in ops("queue.list")["queues"]] == [None]


def test_logs_are_the_newest_lines_in_order(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add("email", name="n", data={})
    r.rpush(keys.logs("1"), *[str(n) for n in range(1200)])
    assert ops("job.logs", queue="email", id="1")["lines"] == [str(n) for n in range(200, 1200)]


def test_a_listing_goes_state_by_state_and_obeys_filters_and_limit(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for options in ({}, {}, {"priority": 1}, {"delay": 9}):
        ops.add("email", name="welcome", data={}, **options)
    put_failed(r, keys, "old", name="digest", ago_ms=5000)
    put_failed(r, keys, "new", name="digest")

    def ids(**filters: Any) -> list[str]:
        return [row["id"] for row in ops("job.list", queue="email", **filters)["jobs"]]

    assert ids() == ["1", "2", "3", "4", "new", "old"]
    assert ids(limit=2) == ["1", "2"]
    assert ids(state="delayed") == ["4"]
    assert ids(name="dig*") == ["new", "old"]
    assert ids(error="b*m", older_ms=3000) == ["old"]
    assert ids(state="failed", since_ms=3000) == ["new"]


def test_a_listing_leaves_large_payloads_where_they_are_and_says_so(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add(data={"x": "y" * 100_000})
    put_failed(r, keys, "f", reason="r" * 70_000)
    r.hset(keys.job("f"), mapping={"returnvalue": '"' + "z" * 20_000 + '"', "stacktrace": '["' + "t" * 30_000 + '"]'})
    large, failed = ops("job.list", queue="email")["jobs"]
    assert (large["data"], large["cut"], large["broken"]) == (None, {"data": 100_008}, [])
    assert failed["cut"] == {"failed_reason": 70_000, "result": 20_002, "stacktrace": 30_004}
    assert (len(failed["failed_reason"]), failed["result"], failed["stacktrace"]) == (65_536, None, [])
    assert [row["id"] for row in ops("job.list", queue="email", error="rr*")["jobs"]] == ["f"]
    assert len(ops("job.show", queue="email", id="1")["job"]["data"]["x"]) == 100_000
    assert ops("job.retry", queue="email", error="rr*")["ids"] == ["f"]


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(InputError, match="known are waiting"):
        Selection.of(state="borken")


def test_a_hash_that_is_gone_does_not_end_a_listing(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for number in range(3):
        put_failed(r, keys, f"j{number}")
    r.delete(keys.job("j1"))
    assert {row["id"] for row in ops("job.list", queue="email")["jobs"]} == {"j0", "j2"}


def test_ids_are_retried_and_those_that_cannot_be_are_counted(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    put_failed(r, keys, "a")
    put_failed(r, keys, "b")
    dry = ops("job.retry", queue="email", ids=["a", "b"], dry_run=True)
    assert dry == {"done": 2, "gone": 0, "ids": ["a", "b"]}
    assert r.zcard(keys.failed) == 2
    told = ops("job.retry", queue="email", ids=["a", "b", "b", "none", "meta"])
    assert told == {"done": 2, "gone": 2, "ids": ["a", "b"]}
    assert r.lrange(keys.wait, 0, -1) == ["b", "a"]


def test_the_only_id_that_is_no_job_is_an_error(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    put_failed(r, keys, "a")
    for operation in ("job.retry", "job.remove"):
        for dry_run in (False, True):
            for job_id in ("none", "meta"):
                with pytest.raises(NotThere):
                    ops(operation, queue="email", ids=[job_id], dry_run=dry_run)


def test_a_filter_retries_every_match_over_many_pages(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    count = 3 * PAGE + 10
    for number in range(count):
        put_failed(r, keys, f"j{number}", reason="timeout" if number % 2 else "boom")
    dry = ops("job.retry", queue="email", error="time*", dry_run=True)
    assert dry["done"] == count // 2
    told = ops("job.retry", queue="email", error="time*")
    assert (told["done"], told["gone"], len(told["ids"])) == (count // 2, 0, count // 2)
    assert (r.zcard(keys.failed), r.llen(keys.wait)) == (count - count // 2, count // 2)


def test_whoever_shares_the_loop_gets_its_turn_every_hundred_jobs(
    ops: Ops, r: redis.Redis, keys: Keys, redis_server: RedisServer
) -> None:
    # A daemon does this on the loop that renews locks and answers `health`.
    count = 2_000
    with r.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.hset(keys.job(f"j{number}"), mapping={"name": "n", "opts": "{}", "timestamp": 1})
            pipe.zadd(keys.failed, {f"j{number}": number})
        pipe.execute()
    tally, seen = Tally(), [0]

    async def main() -> None:
        async def look() -> None:
            while True:
                seen.append(tally.done)
                await asyncio.sleep(0)

        async with async_client(RedisSource(redis_server.url)) as client:
            looking = asyncio.create_task(look())
            steps = act_on_chosen(keys, RETRY, Selection(), tally, now_ms=1)
            await AsyncRunner(client).run_steps(steps)
            looking.cancel()

    asyncio.run(main())
    assert tally.done == count
    assert max(after - before for before, after in pairwise([*seen, count])) <= 100


@pytest.mark.parametrize(
    ("chosen", "total"), [({"error": "time*"}, 250), ({"limit": 120}, 120), ({"error": "time*", "limit": 9}, 250)]
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_progress_counts_what_was_looked_at_not_only_what_fits(
    ops: Ops,
    r: redis.Redis,
    keys: Keys,
    chosen: dict[str, Any],
    total: int,
    dry_run: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Else a filter that takes few leaves the bar at the left, with hours to go.
    monkeypatch.setattr("jobd.operations.progress._EVERY_S", 0)
    for number in range(250):
        put_failed(r, keys, f"j{number}", reason="timeout" if number % 50 == 0 else "boom", ago_ms=500 - number)
    told: list[str] = []
    ops("job.retry", queue="email", dry_run=dry_run, on_progress=told.append, **chosen)
    done, _, of = told[-1].partition("/")
    assert int(done) >= 100 and int(of) == total


def test_removing_the_next_jobs_of_a_long_queue_does_not_search_all_of_it(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    # Removing 100,000 waiting jobs took two minutes and more than half of them were spent in LREM.
    ids = [f"j{number}" for number in range(50_000)]
    r.hset(keys.meta, "opts.maxLenEvents", 10000)
    r.lpush(keys.wait, *ids)
    for job_id in ids[:100]:
        r.hset(keys.job(job_id), mapping={"name": "n", "timestamp": 1})

    def spent(verb: str) -> float:
        r.config_resetstat()
        assert ops(f"job.{verb}", queue="email", state="waiting", limit=50)["done"] == 50
        return float(r.info("commandstats")["cmdstat_lrem"]["usec"])

    ours = {verb: spent(verb) for verb in ("remove", "cancel")}
    r.config_resetstat()
    for job_id in ids[200:250]:
        r.lrem(keys.wait, 1, job_id)
    from_the_wrong_end = float(r.info("commandstats")["cmdstat_lrem"]["usec"])
    assert max(ours.values()) < from_the_wrong_end / 3


def test_a_limit_stops_a_bulk_retry(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for number in range(5):
        put_failed(r, keys, f"j{number}", ago_ms=100 - number)
    assert ops("job.retry", queue="email", limit=2)["ids"] == ["j0", "j1"]


def test_removing_all_leaves_what_runs(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for options in ({}, {}, {"priority": 1}, {"delay": 9}):
        ops.add("email", name="n", data={}, **options)
    r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
    r.set(keys.lock("1"), "token")
    put_failed(r, keys, "x")
    assert ops("job.remove", queue="email", all=True, dry_run=True)["done"] == 4
    assert ops("job.remove", queue="email", all=True) == {
        "done": 4, "gone": 0, "ids": ["2", "3", "4", "x"],
    }  # fmt: skip
    assert ops("job.remove", queue="email", ids=["1"]) == {"done": 0, "gone": 1, "ids": []}
    assert [row["id"] for row in ops("job.list", queue="email")["jobs"]] == ["1"]


def test_delayed_jobs_are_promoted_by_id_filter_or_all(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for name in ("a", "b", "b", "c"):
        ops.add(name=name, delay="1h")
    ops.add()
    assert ops("job.promote", queue="email", ids=["1", "5", "none"]) == {"done": 1, "gone": 2, "ids": ["1"]}
    assert ops("job.promote", queue="email", name="b", dry_run=True)["done"] == 2
    assert ops("job.promote", queue="email", name="b")["ids"] == ["2", "3"]
    assert ops("job.promote", queue="email", all=True)["ids"] == ["4"]
    assert r.lrange(keys.wait, 0, -1) == ["4", "3", "2", "1", "5"]
    with pytest.raises(InputError, match="only delayed"):
        ops("job.promote", queue="email", state="failed")


def test_a_queue_is_shown_with_its_priorities_and_bullmqs_metrics(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add()
    shown = ops("queue.show", queue="email")
    assert (shown["priorities"], shown["metrics"]) == ({"0": 1}, {})
    for priority in (7, 3, 7, 2_097_151):
        ops.add(priority=priority)
    r.hset(f"{keys.base}metrics:failed", mapping={"count": 9, "prevTS": 1_795_486_615_995, "prevCount": 8})
    r.rpush(f"{keys.base}metrics:failed:data", 5, 0, 3)
    shown = ops("queue.show", queue="email", minutes=2)
    assert shown["priorities"] == {"0": 1, "3": 1, "7": 2, "2097151": 1}
    counted = {"count": 9, "data": [5, 0], "previous_count": 8, "previous_at": 1_795_486_615_995}
    assert shown["metrics"] == {"failed": counted}
    for priority in range(100, 250):
        ops.add(priority=priority)
    assert len(ops("queue.show", queue="email")["priorities"]) == 101


def test_a_job_is_changed_where_it_is(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops.add(delay="1h")
    ops.add()
    now_ms = time.time() * 1000
    told = ops("job.change", queue="email", id="1", delay_ms=7_200_000, priority=3, data={"fixed": True})
    assert told == {"id": "1", "changed": ["delay", "priority", "data"]}
    assert json.loads(r.hget(keys.job("1"), "data")) == {"fixed": True}
    assert r.hget(keys.job("1"), "priority") == "3"
    assert now_ms + 7_000_000 < r.zscore(keys.delayed, "1") / 4096 < now_ms + 7_300_000
    ops("job.change", queue="email", id="2", priority=1)
    assert r.zrange(keys.prioritized, 0, -1) == ["2"]
    with pytest.raises(Refused, match="is not delayed"):
        ops("job.change", queue="email", id="2", delay_ms=1, data={"never": 1})
    assert "never" not in r.hget(keys.job("2"), "data")
    with pytest.raises(InputError, match="priority"):
        ops("job.change", queue="email", id="1", delay_ms=1, priority=2_097_153)
    with pytest.raises(InputError, match="nothing to change"):
        ops("job.change", queue="email", id="1")
    with pytest.raises(NotThere):
        ops("job.change", queue="email", id="none", data=1)


def test_a_bulk_verb_wants_to_know_which_jobs(ops: Ops) -> None:
    ops.add("email", name="n", data={})
    with pytest.raises(InputError):
        ops("job.remove", queue="email")
    with pytest.raises(InputError, match="only failed and completed"):
        ops("job.retry", queue="email", state="waiting")
