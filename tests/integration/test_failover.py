"""After a failover nothing stays on the demoted server: what it refused is sent once more, to the new primary."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobd.client import AsyncQueue, Queue
from jobd.engine.connect import async_client, sync_client
from jobd.engine.keys import Keys
from jobd.engine.runner import AsyncRunner, Command, SyncRunner
from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused
from jobd.locate import RedisSource
from tests.support.failover import Pair
from tests.support.finishing import finish
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

KEYS = Keys("bull", "mail")


def _offset(r: redis.Redis, role: str) -> int:
    return int(r.info("replication")[f"{role}_repl_offset"])


def names(server: RedisServer) -> list[str]:
    with server.client() as r:
        return [r.hget(KEYS.job(job_id), "name") or "" for job_id in reversed(r.lrange(KEYS.wait, 0, -1))]


def test_add_goes_on_at_the_new_primary_and_adds_once(pair: Pair) -> None:
    with Queue("mail", url=pair.url) as queue:
        queue.add("before")
        pair.fail_over()
        queue.add("after")
        queue.add_many([("many", {}) for _ in range(600)])
    assert names(pair.second) == ["before", "after", *["many"] * 600]


def test_a_row_of_adds_cut_by_the_failover_comes_whole_in_order(pair: Pair) -> None:
    def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
        for n in range(1000):
            yield (f"n{n}", {})

    with Queue("mail", url=pair.url) as queue:
        queue.add("before")
        pair.fail_over()
        queue.add_many(jobs())
    assert names(pair.second) == ["before", *(f"n{n}" for n in range(1000))]


def test_every_connection_of_the_pool_moves(pair: Pair) -> None:
    """Reads too: a replica answers them, and goes on answering when it is cut off."""
    with Queue("mail", url=pair.url) as queue:
        queue.add("before")
        together = threading.Barrier(4)

        def look() -> None:
            together.wait(20)
            queue.counts()

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pair.fail_over()
        queue.add("after")
        with pair.first.client() as old:
            old.replicaof("127.0.0.1", "1")
        queue.add("more")
        assert queue.counts()["waiting"] == 3


def test_a_wait_for_a_result_goes_on_at_the_new_primary(pair: Pair) -> None:
    results: list[Any] = []
    with Queue("mail", url=pair.url) as queue:
        job = queue.add("n")
        waiting = threading.Thread(target=lambda: results.append(job.wait(30)))
        waiting.start()
        wait_until(lambda: len(pair.proxy.opened) >= 2, 20, what="the reader's own connection")
        pair.fail_over()
        with pair.second.client() as new:
            finish(new, KEYS, job.id, result='"ok"')
        waiting.join(30)
    assert results == ["ok"]


def test_asyncio_goes_on_at_the_new_primary(pair: Pair) -> None:
    async def work() -> None:
        async with AsyncQueue("mail", url=pair.url) as queue:
            await queue.add("before")
            pair.fail_over()
            await asyncio.gather(*(queue.add("after") for _ in range(5)))
            await queue.add_many([("many", {}) for _ in range(300)])

    asyncio.run(work())
    assert names(pair.second) == ["before", *["after"] * 5, *["many"] * 300]


def test_of_many_commands_only_the_refused_are_sent_again(pair: Pair) -> None:
    source = RedisSource(url=pair.url, prefix="bull", origin="test")
    get: Command[Any] = Command(("GET", "k"), lambda reply: reply)
    append: Command[Any] = Command(("APPEND", "k", "x"), lambda reply: reply)

    async def work() -> list[Any]:
        async with async_client(source) as client:
            runner = AsyncRunner(client)
            await runner.run(append)
            pair.fail_over()
            return [await runner.run_many([get, append, append]), await runner.run(get)]

    assert asyncio.run(work()) == [[b"x", 2, 3], b"xxx"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_primary_that_nobody_took_over_is_asked_twice_and_no_more(pair: Pair, kind: str) -> None:
    source = RedisSource(url=pair.url, prefix="bull", origin="test")
    append: Command[Any] = Command(("APPEND", "k", "x"), lambda reply: reply)

    async def work() -> None:
        async with async_client(source) as client:
            runner = AsyncRunner(client)
            await runner.run(append)
            pair.fail_over(moved=False)
            await runner.run(append)

    def plain() -> None:
        with sync_client(source) as client:
            runner = SyncRunner(client)
            runner.run(append)
            pair.fail_over(moved=False)
            runner.run(append)

    with pytest.raises(RedisRefused) as told:
        plain() if kind == "sync" else asyncio.run(work())
    assert told.value.trouble is Trouble.READ_ONLY
    assert len(pair.proxy.opened) == 2
