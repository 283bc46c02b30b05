"""What a worker finds again after a reply was lost."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis

from jobd.client import Queue
from jobd.engine.job import TurnRequest
from jobd.engine.keys import Keys
from jobd.engine.turn import turn
from jobd.locate import RedisSource
from jobd.worker.fetch.connection import Connection
from jobd.worker.fetch.recovery import adopt
from jobd.worker.fetch.turns import Holder
from tests.support.redis_server import RedisServer

PREFIX, NAME, LOCK_MS = "incarnation1:1.1.1:", "host:mail:7", 30_000


@pytest.mark.parametrize("lock", ["is there", "has run out"])
def test_jobs_of_a_lost_reply_are_found_by_their_lock_or_by_who_took_them(
    redis_server: RedisServer, r: redis.Redis, prefix: str, lock: str
) -> None:
    keys = Keys(prefix, "mail")
    holder = Holder(keys, NAME, PREFIX)

    def take(name: str) -> TurnRequest:
        return TurnRequest(time.time_ns() // 1_000_000, LOCK_MS, f"{name}:1.1.1:", name, [], take=1)

    async def main() -> tuple[list[str], list[str]]:
        wire = Connection(RedisSource(redis_server.url, None, None, prefix), "test")
        await wire.open()
        try:
            mine = TurnRequest(time.time_ns() // 1_000_000, LOCK_MS, PREFIX, NAME, [], take=2)
            await wire.run(turn(keys, mine), turn(keys, take("other")))
            for job_id in ("1", "2", "3"):
                if lock == "has run out":
                    r.delete(f"{keys.job(job_id)}:lock")
            first = await adopt(wire, holder, held={"1"}, lock_ms=LOCK_MS)
            again = await adopt(wire, holder, held={"1", "2"}, lock_ms=LOCK_MS)
            return [taken.token for taken in first], [taken.token for taken in again]
        finally:
            wire.drop()

    with Queue("mail", url=redis_server.url, prefix=prefix) as queue:
        queue.add_many([("a", {})] * 3)
    assert asyncio.run(main()) == ([f"{PREFIX}1"], [])
    assert r.get(f"{keys.job('2')}:lock") == f"{PREFIX}1"
    assert r.get(f"{keys.job('3')}:lock") != f"{PREFIX}1"
