"""Fixtures of all tests: one real Redis a session, a key prefix and short socket paths of each test's own."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.queue_of import QueueOf
from tests.support.redis_server import RedisServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A redis-server shared by the session; use `prefix` to stay apart from other tests."""
    with tempfile.TemporaryDirectory(prefix="jobd-redis-") as folder:
        server = RedisServer(Path(folder), tcp=True).start()
        yield server
        server.stop()


@pytest.fixture
def own_redis(short_tmp: Path) -> Iterator[RedisServer]:
    """A durable redis-server of this test alone, to be killed or stopped at will."""
    server = RedisServer(short_tmp / "redis", tcp=True, durable=True).start()
    yield server
    server.stop()


@pytest.fixture
def prefix() -> str:
    """A key prefix nobody else uses."""
    return f"t{os.getpid()}x{next(_numbers)}"


@pytest.fixture
def r(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A text client of the shared Redis."""
    client = redis_server.client()
    yield client
    client.close()


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A temporary folder with a short path: a Unix socket's path is at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="jobd-") as folder:
        yield Path(folder)


@pytest.fixture
def q(r: redis.Redis, prefix: str) -> Iterator[QueueOf]:
    """A queue of this test's own; at the end every job must be in exactly one state."""
    queue = QueueOf(r, prefix)
    yield queue
    queue.assert_sound()
    queue.close()
