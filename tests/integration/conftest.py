"""Fixtures of the worker tests: a Redis to be killed, a producer and a client of it, a parent of workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from jobd.client import Queue
from tests.support.redis_server import RedisServer
from tests.support.worker_parent import WorkerParent


@pytest.fixture
def queue(own_redis: RedisServer) -> Iterator[Queue]:
    made = Queue("mail", url=own_redis.url, prefix="bull")
    yield made
    made.close()


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[redis.Redis]:
    made = own_redis.client()
    yield made
    made.close()


@pytest.fixture
def parent(own_redis: RedisServer) -> Iterator[WorkerParent]:
    with WorkerParent(own_redis.url, "bull") as made:
        yield made
