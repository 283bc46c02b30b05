"""The queue-wide limits of the file are what Redis has."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties.duty import NOTHING_DUE_S
from jobd.daemon.duties.limits import LOOK_S, Limits
from jobd.errors import RedisRefused


class Redis:
    """Runs the two commands of the duty on a dict of {queue's meta key: limit}."""

    def __init__(self) -> None:
        self.has: dict[str, int] = {}
        self.calls = 0
        self.spoiled: set[str] = set()

    async def run_many(self, commands: list[Any]) -> list[Any]:
        self.calls += bool(commands)
        return [self._run(command) for command in commands]

    async def run_each(self, commands: list[Any]) -> list[Any]:
        self.calls += bool(commands)
        return [
            RedisRefused("WRONGTYPE") if command.words[1].split(":")[1] in self.spoiled else self._run(command)
            for command in commands
        ]

    def _run(self, command: Any) -> Any:
        verb, key, _, *value = command.words
        if verb == "HGET":
            had = self.has.get(key)
            return command.read(None if had is None else str(had).encode())
        self.has[key] = int(value[0])
        return 1


class Host:
    """A fleet of queues with these limits, and a duty on it."""

    def __init__(self, **limits: int | None) -> None:
        self.now = 0.0
        self.redis = Redis()
        self.pools: dict[str, Any] = {}
        self.file(**limits)
        fleet: Any = SimpleNamespace(
            pools=self.pools, source=SimpleNamespace(prefix="bull"), clock=SimpleNamespace(monotonic=lambda: self.now)
        )
        self.duty = Limits(fleet, self.redis, lambda name, trouble: None)  # type: ignore[arg-type]

    def file(self, **limits: int | None) -> None:
        self.pools.clear()
        self.pools |= {
            name: SimpleNamespace(name=name, queue=SimpleNamespace(global_concurrency=limit))
            for name, limit in limits.items()
        }

    def run(self, seconds: float = 0.0) -> dict[str, int]:
        self.now += seconds
        asyncio.run(self.duty.run_once())
        return {key.split(":")[1]: limit for key, limit in self.redis.has.items()}


def test_a_queue_whose_keys_are_spoiled_costs_the_others_no_limit():
    host = Host(mail=3, sms=5)
    host.redis.spoiled = {"mail"}
    with pytest.raises(RedisRefused):
        host.run()
    assert host.redis.has == {"bull:sms:meta": 5}
    host.redis.spoiled = set()
    assert host.run() == {"mail": 3, "sms": 5}


def test_it_writes_what_the_file_says_and_nothing_else():
    assert Host(a=3, b=None).run() == {"a": 3}


@pytest.mark.parametrize("found", [None, 7])
def test_what_somebody_else_removed_or_changed_is_written_again(found):
    host = Host(a=3)
    host.run()
    host.redis.has.clear()
    if found is not None:
        host.redis.has["bull:a:meta"] = found
    assert host.run(LOOK_S) == {"a": 3}


def test_a_changed_value_is_written_at_once_not_at_the_next_look():
    host = Host(a=3)
    host.run()
    host.file(a=5)
    assert host.run(0.01) == {"a": 5}


def test_a_dropped_key_leaves_redis_as_it_is_and_one_that_comes_back_is_written():
    host = Host(a=3)
    host.run()
    host.file(a=None)
    assert host.run(LOOK_S) == {"a": 3}
    host.redis.has.clear()
    host.file(a=3)
    assert host.run(0.01) == {"a": 3}


def test_redis_is_asked_once_for_all_queues_and_not_at_every_tick():
    host = Host(a=1, b=2, c=3)
    host.run()
    calls = host.redis.calls
    for _ in range(3):
        host.run(LOOK_S / 10)
    assert host.redis.calls == calls
    host.run(LOOK_S)
    assert host.redis.calls == calls + 1


def test_a_host_whose_queues_have_no_limit_asks_nothing_and_sleeps():
    host = Host(a=None)
    assert asyncio.run(host.duty.run_once()) == NOTHING_DUE_S
    assert host.redis.calls == 0


def test_between_two_looks_it_sleeps():
    host = Host(a=1)
    assert asyncio.run(host.duty.run_once()) == LOOK_S
    host.now += LOOK_S / 4
    assert asyncio.run(host.duty.run_once()) == LOOK_S * 3 / 4
