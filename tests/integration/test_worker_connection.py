"""The worker's connection to a real server: what it tells of one that refuses, and of one that closes it."""

from __future__ import annotations

import asyncio

import pytest

from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.locate import RedisSource
from jobd.worker.fetch.connection import Connection
from tests.support.redis_server import RedisServer


def opened(url: str) -> None:
    async def main() -> None:
        wire = Connection(RedisSource(url), "test")
        try:
            await wire.open()
        finally:
            wire.drop()

    asyncio.run(main())


@pytest.mark.parametrize("password", ["", ":wrong@"])
def test_refused_credentials_are_told_as_such_and_not_as_an_outage(own_redis: RedisServer, password: str) -> None:
    with own_redis.client() as client:
        client.config_set("requirepass", "x")
    with pytest.raises(RedisRefused) as refused:
        opened(f"unix://{password}{own_redis.socket}")
    assert refused.value.trouble is Trouble.CREDENTIALS


def test_too_many_clients_are_told_as_such(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxclients", "1")
        with pytest.raises(RedisUnavailable) as refused:
            opened(own_redis.tcp_url)
    assert refused.value.trouble is Trouble.TOO_MANY_CLIENTS
