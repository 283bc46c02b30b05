"""Which server of a Cluster a command goes to."""

from __future__ import annotations

import asyncio

import pytest
from redis.crc import key_slot

from jobd.engine import inspect
from jobd.engine.event_stream import wait_for_entries
from jobd.engine.keys import Keys
from jobd.engine.locks import active_ids
from jobd.engine.reading import find_places, find_queues
from jobd.engine.routing import NO_KEY, RoutedRunner, key_of, tag_in
from jobd.engine.runner import Command, Word
from jobd.locate import RedisSource

KEYS = Keys("bull", "{mail}")


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (active_ids(KEYS), "bull:{mail}:active"),
        (inspect.key_bytes("bull:{mail}:wait"), "bull:{mail}:wait"),
        (wait_for_entries([KEYS], {"{mail}": "0-0"}, 1, 100), "bull:{mail}:events"),
        (find_queues("bull"), None),
        (find_places(), None),
        (inspect.keys_like(r"bull:{a\[b}:*", 0), "bull:{a[b}:*"),
        (inspect.server_time(), NO_KEY),
    ],
)
def test_a_command_goes_where_its_keys_are(command: Command[object], key: str | None) -> None:
    assert key_of(command) == key


@pytest.mark.parametrize("words", [("PING",), ("INFO", "memory"), ("CONFIG", "GET", "save"), ("CLIENT", "LIST")])
def test_what_has_no_key_goes_to_any_server(words: tuple[Word, ...]) -> None:
    assert key_of(Command(words, lambda reply: reply)) == NO_KEY


@pytest.mark.parametrize("slot", [0, 5461, 16383])
def test_each_slot_has_a_tag(slot: int) -> None:
    assert key_slot(f"{{{tag_in(slot)}}}".encode()) == slot


def test_clients_of_keys_that_nobody_needs_any_more_are_given_up() -> None:
    async def work() -> list[int]:
        runner = RoutedRunner(RedisSource("redis+cluster://127.0.0.1:1", prefix="bull"))
        counts = []
        for turn in range(4):
            for host in range(10):
                runner._runner(f"bull:jobd:host:{turn}-{host}")
            runner._runner("bull:{mail}:wait")
            runner._runner("bull:jobd:hosts")
            counts.append(len(runner._all()))
            await runner.close_idle()
        kept = runner._runner("bull:{mail}:wait"), runner._runner("bull:jobd:hosts")
        assert {*kept} <= {*runner._all()}
        await runner.aclose()
        return counts

    first, *later = asyncio.run(work())
    assert first == 13
    assert max(later) <= 2 * first
    assert later[0] == later[-1]
