"""Fixtures: a Redis to be killed with a producer, a client and a parent of workers; a pair of servers; operations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from jobd.client import Queue
from jobd.engine.keys import Keys
from tests.support.failover import Pair
from tests.support.moving_proxy import MovingProxy
from tests.support.redis_server import RedisServer
from tests.support.worker_parent import WorkerParent

if TYPE_CHECKING:
    from tests.support.operations import Ops


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
def pair(short_tmp: Path) -> Iterator[Pair]:
    """A primary, its replica, and the address that moves from one to the other."""
    first, second = RedisServer(short_tmp / "a", tcp=True).start(), RedisServer(short_tmp / "b", tcp=True).start()
    with MovingProxy(first.port) as proxy:
        yield Pair(first, second, proxy)
    first.stop()
    second.stop()


@pytest.fixture
def ops(redis_server: RedisServer, prefix: str) -> Ops:
    # What the client needs is installed without the daemon's packages where the lowest redis-py is tried.
    from tests.support.operations import Ops

    return Ops(redis_server.url, prefix)


@pytest.fixture
def keys(prefix: str) -> Keys:
    return Keys(prefix, "email")


@pytest.fixture
def parent(own_redis: RedisServer) -> Iterator[WorkerParent]:
    with WorkerParent(own_redis.url, "bull") as made:
        yield made
