"""Queues on a connection of the application's own: whatever its options, and fakeredis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

from jobd.client import AsyncQueue, Flow, Queue
from jobd.engine.states import State
from jobd.errors import InputError, RedisUnavailable
from tests.support.finishing import finish
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

_OPTIONS = [{}, {"decode_responses": True}, {"protocol": 3}, {"protocol": 3, "decode_responses": True}]


def _client(url: str, options: dict[str, Any]) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5, **options)


@pytest.mark.parametrize("options", _OPTIONS)
def test_a_client_of_any_options_serves_and_stays_open(
    options: dict[str, Any], redis_server: RedisServer, prefix: str, r: redis.Redis
) -> None:
    with _client(redis_server.url, options) as client:
        with Queue("email", connection=client, prefix=prefix) as queue:
            job = queue.add("welcome", {"userId": 7})
            assert [each.id for each in queue.add_many([("welcome", {"n": n}) for n in range(300)])][-1] == "301"
            found = queue.get(job.id)
            assert found is not None
            assert (found.data, found.state, queue.counts()["waiting"]) == ({"userId": 7}, State.WAITING, 301)
            tree = queue.add_flow(Flow("site", children=[Flow("page")]))
            assert queue.children_values(tree.job.id) == {}
            with ThreadPoolExecutor() as threads:
                waiting = threads.submit(job.wait, 20)
                wait_until(lambda: any(each.name == "jobd events email" for each in threading.enumerate()), 10)
                finish(r, queue.keys, job.id, result='{"sent": 7}')
                assert waiting.result() == {"sent": 7}
        assert client.ping()


def test_a_pool_is_as_good_and_the_prefix_is_bull(own_redis: RedisServer) -> None:
    pool = redis.BlockingConnectionPool.from_url(own_redis.url)
    queue = Queue("email", connection=pool)
    queue.add("welcome")
    with own_redis.client() as client:
        assert client.exists("bull:email:wait")
    queue.close()
    queue.add("welcome")
    assert queue.counts()["waiting"] == 2
    pool.disconnect()


async def _asyncio_scene(options: dict[str, Any], url: str, prefix: str, r: redis.Redis) -> None:
    async with redis.asyncio.Redis.from_url(url, socket_timeout=5, **options) as client:
        async with AsyncQueue("email", connection=client, prefix=prefix) as queue:
            job = await queue.add("welcome", {"userId": 7})
            assert (await queue.counts())["waiting"] == 1
            waiting = asyncio.create_task(job.wait(20))
            while not any(task.get_name() == "jobd events email" for task in asyncio.all_tasks()):
                await asyncio.sleep(0)
            finish(r, queue.keys, job.id, result='{"sent": 7}')
            assert await waiting == {"sent": 7}
        assert await client.ping()


@pytest.mark.parametrize("options", _OPTIONS)
def test_so_on_asyncio(options: dict[str, Any], redis_server: RedisServer, prefix: str, r: redis.Redis) -> None:
    asyncio.run(_asyncio_scene(options, redis_server.url, prefix, r))


@pytest.mark.parametrize(
    ("kind", "connection"),
    [(Queue, redis.asyncio.Redis), (AsyncQueue, redis.Redis), (Queue, object)],
)
def test_the_wrong_kind_is_told_at_once(kind: Any, connection: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match="connection: expected a redis"):
        kind("email", connection=connection())
    with pytest.raises(InputError, match="either it or url"):
        kind("email", connection=redis.Redis(), url="redis://127.0.0.1")


def test_an_add_is_sent_once_through_a_client_that_retries() -> None:
    client = redis.Redis(host="127.0.0.1", port=1, socket_timeout=1)
    with pytest.raises(RedisUnavailable, match="not added"):
        Queue("email", connection=client).add("welcome")


def test_fakeredis_takes_adds_and_is_read() -> None:
    queue = Queue("email", connection=fakeredis.FakeRedis())
    job = queue.add("welcome", {"userId": 7}, priority=3)
    later = queue.add("welcome", {"userId": 8}, delay="1h")
    again = queue.add("welcome", {"userId": 9}, job_id="welcome-9")
    assert queue.add("welcome", {"userId": 9}, job_id=again.id).duplicate
    queue.add_many([("digest", {"n": n}) for n in range(3)])
    found, delayed = queue.get(job.id), queue.get(later.id)
    assert found is not None
    assert delayed is not None
    assert (found.data, found.priority, found.state, delayed.state) == (
        {"userId": 7}, 3, State.PRIORITIZED, State.DELAYED,
    )  # fmt: skip
    counts = queue.counts()
    assert (counts["waiting"], counts["prioritized"], counts["delayed"]) == (4, 1, 1)


async def _on_fakeredis() -> None:
    async with AsyncQueue("email", connection=fakeredis.FakeAsyncRedis()) as queue:
        job = await queue.add("welcome", {"userId": 7})
        await queue.add_many([("digest", {"n": n}) for n in range(3)])
        found = await queue.get(job.id)
        assert found is not None
        assert (found.data, (await queue.counts())["waiting"]) == ({"userId": 7}, 4)


def test_fakeredis_on_asyncio() -> None:
    asyncio.run(_on_fakeredis())
