from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from jobd.daemon.control.redis_answer import ask_redis
from jobd.daemon.control.status_document import RedisAnswer
from jobd.engine.connect import async_client
from jobd.engine.runner import AsyncRunner
from jobd.locate import RedisSource
from tests.support.redis_server import RedisServer


def answer(url: str, prefix: str, queues: dict[str, int]) -> RedisAnswer:
    source = RedisSource(url, prefix=prefix, origin="jobd.toml:3")

    async def main() -> RedisAnswer:
        client = async_client(source)
        try:
            return await ask_redis(AsyncRunner(client), source, queues)
        finally:
            await client.aclose()

    return asyncio.run(main())


def test_facts_latency_and_version_come_together(redis_server: RedisServer, r: Any, prefix: str) -> None:
    r.rpush(f"{prefix}:a:wait", "1", "2")
    found = answer(redis_server.url, prefix, {"a": 0, "empty": 0})
    assert found.up
    assert found.latency_ms is not None
    assert found.version is not None
    assert (found.facts["a"].counts["waiting"], found.facts["empty"].counts["waiting"]) == (2, 0)
    assert found.origin == "jobd.toml:3"


def test_one_queue_with_a_key_of_a_wrong_type_does_not_blank_the_others(
    redis_server: RedisServer, r: Any, prefix: str
) -> None:
    r.set(f"{prefix}:broken:wait", "not a list")
    r.rpush(f"{prefix}:a:wait", "1")
    found = answer(redis_server.url, prefix, {"broken": 0, "a": 0})
    assert found.up
    assert found.facts["a"].counts["waiting"] == 1
    assert "broken" not in found.facts
    assert f"WRONGTYPE: {prefix}:broken:wait is a string" in (found.error or "")


def test_a_user_who_may_not_ask_for_info_still_sees_counts(own_redis: RedisServer, prefix: str) -> None:
    with own_redis.client() as client:
        client.rpush(f"{prefix}:a:wait", "1")
        client.execute_command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "-@dangerous")
        client.execute_command("ACL", "SETUSER", "nobody", "on", ">secret", "~*", "+ping", "+client", "+hello")
    address = own_redis.tcp_url.removeprefix("redis://")
    found = answer(f"redis://worker:secret@{address}", prefix, {"a": 0})
    assert (found.up, found.version, found.error) == (True, None, None)
    assert found.facts["a"].counts["waiting"] == 1
    found = answer(f"redis://nobody:secret@{address}", prefix, {"a": 0})
    assert (found.up, dict(found.facts)) == (True, {})
    assert found.error is not None
    found = answer(f"redis://worker:wrong@{address}", prefix, {"a": 0})
    assert not found.up
    assert "wrong" not in (found.error or "").replace("WRONGPASS", "")


@pytest.mark.parametrize(("most", "limited"), [(2, True), (3, False), (0, False)])
def test_the_limit_of_the_file_tells_whether_the_limiter_is_reached(
    redis_server: RedisServer, r: Any, prefix: str, most: int, limited: bool
) -> None:
    r.set(f"{prefix}:a:limiter", "2", px=60_000)
    found = answer(redis_server.url, prefix, {"a": most})
    assert (found.facts["a"].limited_ms is not None) is limited


def test_a_server_that_is_away_or_silent_is_not_waited_for(own_redis: RedisServer, prefix: str) -> None:
    import signal

    own_redis.signal(signal.SIGSTOP)
    before = time.monotonic()
    found = answer(own_redis.url, prefix, {"a": 0})
    assert time.monotonic() - before < 5
    assert (found.up, found.latency_ms, found.version, found.facts) == (False, None, None, {})
    assert found.error == "no answer within 300 ms"
    own_redis.kill()
    assert not answer(own_redis.url, prefix, {"a": 0}).up


def test_a_wrong_password_is_told_and_not_shown(short_tmp: Path, prefix: str) -> None:
    found = answer(f"unix://user:hunter2@{short_tmp}/none.sock", prefix, {})
    assert not found.up
    assert "hunter2" not in repr(found)
