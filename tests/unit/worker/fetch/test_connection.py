"""Connections that were lost with a request under way are remembered until they are known to be dead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobd.errors import RedisUnavailable
from jobd.locate import RedisSource
from jobd.worker.fetch.connection import Connection


class Server:
    """Answers CLIENT LIST and CLIENT KILL; the first `breaks` of them find the connection broken."""

    def __init__(self, breaks: int) -> None:
        self.breaks = breaks
        self.names = {7: "turns", 8: "turns", 9: "another"}
        self.asked: list[tuple[Any, ...]] = []

    async def words(self, command: tuple[Any, ...]) -> list[Any]:
        self.asked.append(command)
        if self.breaks:
            self.breaks -= 1
            raise RedisUnavailable("connection closed")
        if command[1] == "LIST":
            name = self.names.get(command[3])
            return [f"id={command[3]} addr=x name={name} age=1\n".encode() if name else b""]
        self.names.pop(command[3], None)
        return [1]


def connection(server: Server, *lost: int) -> Connection:
    made = Connection(RedisSource("redis://nowhere"), "turns")
    made.words = server.words  # type: ignore[method-assign,assignment]
    made.lost_clients = set(lost)
    return made


@pytest.mark.parametrize("breaks", [1, 2, 3])
def test_a_reconnect_that_fails_again_still_knows_whom_to_end(breaks: int) -> None:
    # The new connection breaks before, in or after the kill of the old one, and comes back with another number.
    server = Server(breaks)
    turns = connection(server, 7, 8)
    tries = 0
    while turns.lost_clients:
        tries += 1
        turns.client_id = 100 + tries
        try:
            asyncio.run(turns.end_lost())
        except RedisUnavailable:
            continue
    assert tries == breaks + 1
    assert server.names == {9: "another"}


def test_a_number_that_another_has_by_now_is_left_alone() -> None:
    server = Server(0)
    turns = connection(server, 9)
    asyncio.run(turns.end_lost())
    assert (server.names.keys(), turns.lost_clients) == ({7, 8, 9}, set())


def test_what_is_begun_without_a_connection_meets_that_at_its_end() -> None:
    async def main() -> None:
        turns = Connection(RedisSource("redis://nowhere"), "turns")
        begun = turns.begin()
        with pytest.raises(RedisUnavailable):
            await turns.finish([], begun)

    asyncio.run(main())
