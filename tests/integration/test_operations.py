"""What the commands `queue …` and `job …` do to Redis and report."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from jobd.engine.connect import async_client
from jobd.engine.keys import Keys
from jobd.engine.runner import AsyncRunner
from jobd.engine.states import State
from jobd.errors import InputError, NotThere
from jobd.locate import RedisSource
from jobd.operations import on_redis as operations
from jobd.operations.selection import PAGE, Selection
from tests.support.redis_server import RedisServer


class Ops:
    """Calls operations with a runner of its own event loop."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def __call__(self, operation: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        async def main() -> Any:
            async with async_client(RedisSource(self.url)) as client:
                return await operation(AsyncRunner(client), self.prefix, *args, **options)

        return asyncio.run(main())


@pytest.fixture
def ops(redis_server: RedisServer, prefix: str) -> Ops:
    return Ops(redis_server.url, prefix)


@pytest.fixture
def keys(prefix: str) -> Keys:
    return Keys(prefix, "email")


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
    ops(operations.job_add, "email", name="n", data={})
    ops(operations.job_add, "b-side", name="n", data={}, options={"delay": "10s"})
    rows = ops(operations.queue_list)
    assert [(row["name"], row["state"], row["waiting"], row["delayed"], row["why"]) for row in rows] == [
        ("b-side", "running", 0, 1, "nothing_due"),
        ("email", "running", 1, 0, None),
    ]
    json.dumps(rows, allow_nan=False)


def test_names_with_glob_characters_do_not_confuse_the_listing(redis_server: RedisServer, prefix: str) -> None:
    odd = Ops(redis_server.url, f"{prefix}[a]*?\\")
    odd(operations.job_add, "email", name="n", data={})
    assert odd(operations.queue_names) == ["email"]


def test_an_unknown_queue_is_told_with_the_known_ones(ops: Ops) -> None:
    ops(operations.job_add, "email", name="n", data={})
    for operation in (operations.queue_show, operations.queue_resume, operations.job_list):
        with pytest.raises(NotThere) as caught:
            ops(operation, "emial")
        assert (caught.value.code, caught.value.known) == ("queue-unknown", ("email",))


def test_pause_is_shown_with_who_and_why_and_gone_after_resume(ops: Ops) -> None:
    ops(operations.job_add, "email", name="n", data={})
    told = ops(operations.queue_pause, "email", who="alice", reason="cdn down")
    assert told == {"queue": "email", "state": "paused", "changed": True}
    row = ops(operations.queue_show, "email")
    assert (row["state"], row["why"], row["paused_by"], row["paused_why"]) == ("paused", "paused", "alice", "cdn down")
    assert abs(row["paused_at"] - time.time() * 1000) < 60_000
    assert ops(operations.queue_resume, "email")["changed"]
    assert not ops(operations.queue_resume, "email")["changed"]
    assert ops(operations.queue_show, "email")["paused_by"] is None


def test_a_job_is_shown_with_its_data_and_broken_fields(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    added = ops(operations.job_add, "email", name="welcome", data={"userId": 7})
    events = [event.decode() if isinstance(event, bytes) else event for event, _ in r.xrange(keys.events)]
    assert added.pop("event_id") == events[-1]
    assert added == {"id": "1", "queue": "email", "name": "welcome", "duplicate": False, "deduplicated": False}
    row = ops(operations.job_show, "email", "1")
    assert (row["data"], row["state"], row["broken"]) == ({"userId": 7}, "waiting", [])
    r.hset(keys.job("1"), "data", "{")
    assert ops(operations.job_show, "email", "1")["broken"] == ["data"]
    with pytest.raises(NotThere) as caught:
        ops(operations.job_show, "email", "99")
    assert caught.value.code == "job-unknown"


def test_logs_are_the_newest_lines_in_order(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    ops(operations.job_add, "email", name="n", data={})
    r.rpush(keys.logs("1"), *[str(n) for n in range(1200)])
    assert ops(operations.job_logs, "email", "1") == [str(n) for n in range(200, 1200)]


def test_a_listing_goes_state_by_state_and_obeys_filters_and_limit(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for options in ({}, {}, {"priority": 1}, {"delay": 9}):
        ops(operations.job_add, "email", name="welcome", data={}, options=options)
    put_failed(r, keys, "old", name="digest", ago_ms=5000)
    put_failed(r, keys, "new", name="digest")

    def ids(**filters: Any) -> list[str]:
        return [row["id"] for row in ops(operations.job_list, "email", Selection.of(**filters))]

    assert ids() == ["1", "2", "3", "4", "new", "old"]
    assert ids(limit=2) == ["1", "2"]
    assert ids(state="delayed") == ["4"]
    assert ids(name="dig*") == ["new", "old"]
    assert ids(error="b*m", older_ms=3000) == ["old"]
    assert ids(state="failed", since_ms=3000) == ["new"]


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(InputError, match="known are waiting"):
        Selection.of(state="borken")


def test_a_hash_that_is_gone_does_not_end_a_listing(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for number in range(3):
        put_failed(r, keys, f"j{number}")
    r.delete(keys.job("j1"))
    assert {row["id"] for row in ops(operations.job_list, "email")} == {"j0", "j2"}


def test_ids_are_retried_and_those_that_cannot_be_are_counted(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    put_failed(r, keys, "a")
    put_failed(r, keys, "b")
    dry = ops(operations.job_retry, "email", ids=["a", "b"], dry_run=True)
    assert dry == {"done": 2, "gone": 0, "ids": ["a", "b"]}
    assert r.zcard(keys.failed) == 2
    told = ops(operations.job_retry, "email", ids=["a", "b", "b", "none", "meta"])
    assert told == {"done": 2, "gone": 2, "ids": ["a", "b"]}
    assert r.lrange(keys.wait, 0, -1) == ["b", "a"]


def test_the_only_id_that_is_no_job_is_an_error(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    put_failed(r, keys, "a")
    for operation in (operations.job_retry, operations.job_remove):
        for dry_run in (False, True):
            for job_id in ("none", "meta"):
                with pytest.raises(NotThere):
                    ops(operation, "email", ids=[job_id], dry_run=dry_run)


def test_a_filter_retries_every_match_over_many_pages(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    count = 3 * PAGE + 10
    for number in range(count):
        put_failed(r, keys, f"j{number}", reason="timeout" if number % 2 else "boom")
    dry = ops(operations.job_retry, "email", selection=Selection(error="time*"), dry_run=True)
    assert dry["done"] == count // 2
    told = ops(operations.job_retry, "email", selection=Selection(error="time*"))
    assert (told["done"], told["gone"], len(told["ids"])) == (count // 2, 0, count // 2)
    assert (r.zcard(keys.failed), r.llen(keys.wait)) == (count - count // 2, count // 2)


def test_a_limit_stops_a_bulk_retry(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for number in range(5):
        put_failed(r, keys, f"j{number}", ago_ms=100 - number)
    assert ops(operations.job_retry, "email", selection=Selection(limit=2))["ids"] == ["j0", "j1"]


def test_removing_all_leaves_what_runs(ops: Ops, r: redis.Redis, keys: Keys) -> None:
    for options in ({}, {}, {"priority": 1}, {"delay": 9}):
        ops(operations.job_add, "email", name="n", data={}, options=options)
    r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
    r.set(keys.lock("1"), "token")
    put_failed(r, keys, "x")
    assert ops(operations.job_remove, "email", selection=Selection(), dry_run=True)["done"] == 4
    assert ops(operations.job_remove, "email", selection=Selection()) == {
        "done": 4, "gone": 0, "ids": ["2", "3", "4", "x"],
    }  # fmt: skip
    assert ops(operations.job_remove, "email", ids=["1"]) == {"done": 0, "gone": 1, "ids": []}
    assert [row["id"] for row in ops(operations.job_list, "email")] == ["1"]


def test_a_bulk_verb_wants_to_know_which_jobs(ops: Ops) -> None:
    ops(operations.job_add, "email", name="n", data={})
    with pytest.raises(InputError):
        ops(operations.job_remove, "email")
    with pytest.raises(InputError, match="only failed and completed"):
        ops(operations.job_retry, "email", selection=Selection(state=State.WAITING))
