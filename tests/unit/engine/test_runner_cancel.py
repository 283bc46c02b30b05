"""What ends a command from outside, a cancel or a handler's time limit, leaves no answer for the next one."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.engine.runner import AsyncRunner, Command, SyncRunner
from jobd.errors import JobTimeout


class Connection:
    """Its send ends as if nothing had been when it is cancelled; the answer comes."""

    def __init__(self) -> None:
        self.sending = asyncio.Event()
        self.closed = False

    async def send_packed_command(self, packed: Any) -> None:
        self.sending.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    async def read_response(self, **_: Any) -> Any:
        return 0

    async def disconnect(self, **_: Any) -> None:
        self.closed = True

    def pack_command(self, *words: Any) -> Any:
        return words


class Pool:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def get_connection(self) -> Connection:
        return self.connection

    async def release(self, connection: Connection) -> None:
        pass


def test_a_cancel_that_comes_as_the_last_byte_leaves_ends_the_command_and_its_connection() -> None:
    async def main() -> None:
        connection = Connection()
        client: Any = SimpleNamespace(connection_pool=Pool(connection))
        task = asyncio.create_task(AsyncRunner(client).run(Command(("PING",), bool)))
        await connection.sending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert connection.closed, "its answer would be the next command's"

    asyncio.run(main())


class PlainConnection:
    """Answers once; then the time of the handler that asks is over."""

    def __init__(self) -> None:
        self.closed = False
        self.answers = 0

    def send_packed_command(self, packed: Any) -> None:
        pass

    def read_response(self, **_: Any) -> Any:
        self.answers += 1
        if self.answers > 1:
            raise JobTimeout
        return 0

    def disconnect(self) -> None:
        self.closed = True

    def pack_commands(self, commands: Any) -> Any:
        return commands


def test_a_time_limit_between_two_answers_ends_the_connection_that_has_more_to_come() -> None:
    connection = PlainConnection()
    pool = SimpleNamespace(get_connection=lambda: connection, release=lambda released: None)
    client: Any = SimpleNamespace(connection_pool=pool)
    with pytest.raises(JobTimeout):
        SyncRunner(client).run_many([Command(("GET", name), bool) for name in "abc"])
    assert connection.closed, "the answers to come would be the next commands'"
