"""The jobs of a daemon that was killed, where Redis refuses something of one queue."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties.earlier_incarnations import EarlierIncarnations
from jobd.daemon.state_dir import Incarnation, ServedQueue, boot_id
from jobd.errors import RedisRefused


class Redis:
    """Notes whose jobs were recovered; refuses whatever is about the spoiled queues."""

    def __init__(self, *spoiled: str) -> None:
        self.spoiled = {*spoiled}
        self.recovered: list[str] = []

    async def run(self, command: Any) -> Any:
        key = str(command.words[1])
        queue = key.split(":")[1]
        if queue in self.spoiled:
            raise RedisRefused("WRONGTYPE")
        if command.script is not None:
            self.recovered.append(queue)
        return []

    async def run_many(self, commands: list[Any]) -> list[Any]:
        return [await self.run(command) for command in commands]


class Record:
    """The record of this start; `settled` are the earlier ones that are done with."""

    def __init__(self, *previous: Incarnation) -> None:
        self.previous = [*previous]

    def settled(self, earlier: Incarnation) -> None:
        self.previous.remove(earlier)


def test_a_queue_that_redis_refuses_keeps_the_jobs_of_no_other_from_it_and_is_tried_again() -> None:
    queues = tuple(ServedQueue("unix:///r", "bull", name) for name in ("bad", "good", "gone"))
    earlier = Incarnation("inc", boot_id(), "host", queues=queues)
    redis, record = Redis("bad"), Record(earlier)
    fleet: Any = SimpleNamespace(
        source=SimpleNamespace(shown="unix:///r", prefix="bull"),
        clock=SimpleNamespace(now_ms=lambda: 1000),
        config=SimpleNamespace(queues={}),
    )
    duty = EarlierIncarnations(fleet, redis, record, lambda name, trouble: None)  # type: ignore[arg-type]
    with pytest.raises(RedisRefused):
        asyncio.run(duty.run_once())
    assert (redis.recovered, record.previous) == (["good", "gone"], [earlier])
    redis.spoiled.clear()
    asyncio.run(duty.run_once())
    assert (redis.recovered[2:], record.previous) == (["bad", "good", "gone"], [])
