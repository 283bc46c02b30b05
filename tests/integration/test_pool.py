"""The pools with a short way keep what redis-py's promise: a limit, nobody waits beside a free connection, forks."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobd.engine.connect import async_client, sync_client
from jobd.engine.connection_pool import Pool
from jobd.engine.runner import AsyncRunner, Command, SyncRunner
from jobd.errors import RedisUnavailable
from jobd.locate import RedisSource
from tests.support.redis_server import RedisServer

WHO: Command[int] = Command(("CLIENT", "ID"), int)


def limited(server: RedisServer, connections: int) -> RedisSource:
    return RedisSource(f"{server.tcp_url}/0?max_connections={connections}")


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with sync_client(limited(redis_server, 2)) as client:
        yield client


def test_the_connection_used_last_is_used_next(client: redis.Redis) -> None:
    runner = SyncRunner(client)
    assert len({runner.run(WHO) for _ in range(5)}) == 1


def test_more_threads_than_connections_share_them(client: redis.Redis) -> None:
    runner, seen, errors = SyncRunner(client), set[int](), list[BaseException]()
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(10)
        try:
            for _ in range(200):
                seen.add(runner.run(WHO))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert len(seen) <= 2


def test_who_waits_for_a_connection_gets_the_one_given_back(client: redis.Redis) -> None:
    pool: Any = client.connection_pool
    held = [pool.get_connection(), pool.get_connection()]
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(pool.get_connection()))
    waiter.start()
    while not pool._waiting:
        waiter.join(0.001)
    pool.release(held[0])
    waiter.join(10)
    assert got == [held[0]]


def test_a_connection_that_the_server_closed_is_made_anew_and_nothing_is_lost(
    client: redis.Redis, r: redis.Redis
) -> None:
    runner = SyncRunner(client)
    first = runner.run(WHO)
    r.client_kill_filter(_id=str(first))
    assert runner.run(WHO) != first


def test_a_closed_client_has_no_connection_left_and_can_be_used_again(client: redis.Redis, r: redis.Redis) -> None:
    runner = SyncRunner(client)
    first = runner.run(WHO)
    client.connection_pool.disconnect()
    assert not any(int(one["id"]) == first for one in r.client_list())
    assert runner.run(WHO) != first


def test_a_server_that_went_away_gives_its_place_in_the_pool_back(own_redis: RedisServer) -> None:
    with sync_client(limited(own_redis, 1)) as client:
        runner = SyncRunner(client)
        runner.run(WHO)
        own_redis.kill()
        for _ in range(3):
            with pytest.raises(RedisUnavailable) as caught:
                runner.run(WHO)
            assert not caught.value.may_have_run
        own_redis.start()
        assert runner.run(WHO) > 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of xdist
def test_a_forked_child_uses_connections_of_its_own(client: redis.Redis) -> None:
    runner = SyncRunner(client)
    ours = runner.run(WHO)
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    assert isinstance(client.connection_pool, Pool)
    with client.connection_pool._guard:  # as another thread might at the moment of a fork
        child = context.Process(target=lambda: writer.send(runner.run(WHO)))
        child.start()
    assert reader.poll(20), "the child hangs"
    theirs = reader.recv()
    child.join(10)
    assert theirs != ours
    assert runner.run(WHO) == ours


def test_on_asyncio_too(redis_server: RedisServer, r: redis.Redis) -> None:
    async def main() -> None:
        async with async_client(limited(redis_server, 2)) as client:
            runner = AsyncRunner(client)
            first = await runner.run(WHO)
            assert await runner.run(WHO) == first
            seen = await asyncio.wait_for(asyncio.gather(*(runner.run(WHO) for _ in range(200))), 30)
            assert len(set(seen)) <= 2
            for one in set(seen):
                await asyncio.to_thread(r.client_kill_filter, _id=str(one))
            assert await runner.run(WHO) not in seen
            last = await runner.run(WHO)
            await client.connection_pool.disconnect(inuse_connections=False)
            assert await runner.run(WHO) != last

    asyncio.run(main())


def test_a_wait_that_is_cancelled_takes_no_connection_along(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with async_client(limited(redis_server, 1)) as client:
            pool = client.connection_pool
            held = await pool.get_connection()
            waiter = asyncio.create_task(pool.get_connection())
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter])
            await pool.release(held)
            assert await asyncio.wait_for(AsyncRunner(client).run(WHO), 10) > 0

    asyncio.run(main())


def test_connections_that_a_storm_has_left_are_closed_and_those_in_use_are_not(redis_server: RedisServer) -> None:
    wait: Command[object] = Command(("BLPOP", "nothing", "0.2"), lambda reply: reply)

    async def scene() -> None:
        client = async_client(limited(redis_server, 50))
        client.connection_pool.connection_kwargs["client_name"] = "storm"
        runner = AsyncRunner(client)

        async def there() -> int:
            listed = await runner.run(Command(("CLIENT", "LIST"), lambda reply: bytes(reply)))
            return listed.count(b"name=storm")

        async def are_there(count: int) -> bool:
            """Redis learns of a closed connection in its next round, at the earliest."""
            async with asyncio.timeout(10):
                while await there() != count:
                    await asyncio.sleep(0.01)
            return True

        await asyncio.gather(*(runner.run(wait) for _ in range(20)))
        assert await there() == 20
        await runner.close_idle()
        assert await there() == 20, "they were needed just now"
        await asyncio.gather(*(runner.run(wait) for _ in range(3)))
        await runner.close_idle()
        assert await are_there(4)
        await runner.close_idle()
        await runner.close_idle()
        assert await are_there(1)
        assert len({await runner.run(WHO) for _ in range(5)}) == 1
        await asyncio.gather(*(runner.run(wait) for _ in range(20)))
        await runner.aclose()

    asyncio.run(scene())


@pytest.mark.parametrize("way", ["close_unused", "disconnect"])
def test_nobody_is_handed_a_connection_that_is_being_closed(redis_server: RedisServer, way: str) -> None:
    async def scene() -> None:
        client = async_client(limited(redis_server, 50))
        runner, pool = AsyncRunner(client), client.connection_pool

        async def close() -> None:
            await (pool.close_unused() if way == "close_unused" else pool.disconnect(inuse_connections=False))

        async def ask(after: int) -> None:
            for _ in range(after):
                await asyncio.sleep(0)
            await runner.run(WHO)

        # A storm leaves connections behind; callers come at each step that the closing takes.
        for after in range(40):
            await asyncio.gather(*(runner.run(WHO) for _ in range(4)))
            await pool.close_unused()
            await asyncio.gather(close(), *(ask(after) for _ in range(3)))
        await runner.aclose()

    asyncio.run(scene())
