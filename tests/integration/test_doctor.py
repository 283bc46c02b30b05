"""What `doctor` finds on a Redis: each sickness made on purpose, and nothing where nothing is wrong."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobd.engine.hosts import HostSign
from jobd.engine.inspect import worker_name
from jobd.engine.keys import Keys
from tests.support.operations import perform
from tests.support.redis_server import RedisServer


@pytest.fixture
def own(own_redis: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis.url) as client:
        yield client


def found(server: RedisServer) -> dict[str, dict[str, Any]]:
    """Return {code: finding}."""
    document = perform(server.url, "bull", "doctor")
    json.dumps(document, allow_nan=False)
    for finding in document["findings"]:
        assert all(finding[part] for part in ("what", "then", "mend", "about"))
    return {finding["code"]: finding for finding in document["findings"]}


def errors(server: RedisServer) -> set[str]:
    return {code for code, finding in found(server).items() if finding["level"] == "error"}


def add(server: RedisServer, queue: str = "email", **options: Any) -> None:
    perform(server.url, "bull", "job.add", queue=queue, name="n", data={}, options=options)


def test_a_healthy_redis_has_no_error(own_redis: RedisServer, own: redis.Redis) -> None:
    own.config_set("save", "60 1")
    assert found(own_redis) == {}


def test_no_persistence_is_a_warning(own_redis: RedisServer, own: redis.Redis) -> None:
    own.config_set("save", "")
    own.config_set("appendonly", "no")
    assert found(own_redis)["no-persistence"]["level"] == "warning"


def test_an_eviction_policy_is_an_error_and_the_command_mends_it(own_redis: RedisServer, own: redis.Redis) -> None:
    own.config_set("maxmemory-policy", "allkeys-lru")
    finding = found(own_redis)["eviction-policy"]
    assert (finding["level"], finding["about"]) == ("error", "redis")
    command = finding["mend"].removeprefix("redis-cli ")
    own.execute_command(*command.split())
    assert "eviction-policy" not in found(own_redis)


def test_jobs_that_nobody_serves_are_an_error_until_a_worker_is_there(own_redis: RedisServer, own: redis.Redis) -> None:
    add(own_redis)
    assert found(own_redis)["no-worker"]["about"] == "email"
    with redis.Redis.from_url(own_redis.url, client_name=worker_name(Keys("bull", "email")) + ":w:x") as node:
        node.ping()
        assert errors(own_redis) == set()
    assert errors(own_redis) == {"no-worker"}


def test_a_daemon_anywhere_serves_its_queues(own_redis: RedisServer, own: redis.Redis) -> None:
    add(own_redis)
    show(own, "email")
    assert errors(own_redis) == set()


def show(own: redis.Redis, *queues: str, off_ms: int = 0) -> None:
    now = int(time.time() * 1000)
    sign = HostSign("k3f9", "shop", 1, "far", "0.1", 1, queues, now, "x", now + off_ms)
    own.set("bull::host:k3f9", json.dumps(dataclasses.asdict(sign)), px=30_000)
    own.sadd("bull::hosts", "k3f9")


def test_a_clock_that_is_off_by_more_than_a_quarter_of_a_lock_is_an_error(
    own_redis: RedisServer, own: redis.Redis
) -> None:
    show(own, off_ms=3_000)
    assert errors(own_redis) == set()
    show(own, off_ms=-12_000)
    assert found(own_redis)["host-clock"]["about"] == "far"


def test_active_jobs_without_a_lock_are_an_error(own_redis: RedisServer, own: redis.Redis) -> None:
    add(own_redis)
    keys = Keys("bull", "email")
    own.rpoplpush(keys.wait, keys.active)
    finding = found(own_redis)["active-without-lock"]
    assert (finding["level"], finding["what"]) == ("error", "1 active job without a lock: 1")
    own.set(keys.lock("1"), "x")
    assert "active-without-lock" not in found(own_redis)


def test_the_queues_own_keys_are_no_orphans(own_redis: RedisServer, own: redis.Redis) -> None:
    add(own_redis)
    own.hset("bull:email:metrics:failed", "count", 1)
    own.hset("bull:email:metrics:completed", "count", 1)
    own.lpush("bull:email:metrics:failed:data", 1)
    assert "orphaned-keys" not in found(own_redis)


def test_delayed_in_the_past_and_orphans_are_warnings(own_redis: RedisServer, own: redis.Redis) -> None:
    add(own_redis, delay="1h")
    show(own, "email")
    keys = Keys("bull", "email")
    own.zadd(keys.delayed, {"1": (int(time.time() * 1000) - 120_000) * 4096})
    own.rpush(keys.logs("gone"), "line")
    warnings = found(own_redis)
    assert warnings["delayed-in-the-past"]["level"] == "warning"
    assert warnings["orphaned-keys"]["what"] == "1 key of jobs that are gone, such as bull:email:gone:logs"
    assert warnings["orphaned-keys"]["mend"] == "jobd queue remove-orphans email"
    assert errors(own_redis) == set()


def test_a_key_of_a_wrong_type_is_an_error_and_the_command_mends_it(own_redis: RedisServer, own: redis.Redis) -> None:
    for queue in ("email", "other", "third"):
        add(own_redis, queue)
    own.rename("bull:email:wait", "kept")
    own.set("bull:email:wait", "x")
    own.delete("bull:third:events")
    own.sadd("bull:third:events", "x")
    told = perform(own_redis.url, "bull", "doctor")
    wrong = {finding["about"]: finding for finding in told["findings"] if finding["code"] == "wrong-type"}
    assert set(wrong) == {"email", "third"}
    assert wrong["email"]["what"] == "bull:email:wait is a string where a list belongs"
    assert wrong["third"]["mend"] == "redis-cli RENAME bull:third:events broken:bull:third:events"
    assert {queue["name"] for queue in told["queues"]} == {"other", "third"}
    for finding in wrong.values():
        own.execute_command(*finding["mend"].split()[1:])
    assert "wrong-type" not in found(own_redis)


def test_what_queues_take_is_told(own_redis: RedisServer, own: redis.Redis) -> None:
    add(own_redis, "small")
    for _ in range(20):
        add(own_redis, "large")
    sizes = perform(own_redis.url, "bull", "doctor")["queues"]
    assert [(size["name"], size["jobs"]) for size in sizes] == [("large", 20), ("small", 1)]
    assert sizes[0]["bytes"] > sizes[1]["bytes"] > 100
