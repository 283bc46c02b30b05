"""A cancel that a library swallows is not lost."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.engine.runner import AsyncRunner, Command


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
