"""Save what an embedded server holds whose data folder was removed while it ran: its file is nowhere any more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import redis.exceptions as failures

from jobd.engine.connect import async_client
from jobd.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.locate import RedisSource

FILES = "appendonlydir"
"""The folder of a server's append-only files, below its data."""

_FILE = "appendonly.aof.1.incr.aof"
_PAGE = 500
"""Keys that are read in one round trip."""


class Lifeline:
    """A connection that is kept open: once the socket's file is gone, nobody can make another one."""

    def __init__(self, source: RedisSource) -> None:
        self._client = async_client(source)
        self._connection: Any = None

    async def open(self) -> None:
        """Connect.

        Raises:
            Refused: nobody answers.
        """
        pool: Any = self._client.connection_pool
        try:
            self._connection = await pool.get_connection()
        except (failures.RedisError, OSError) as error:
            raise Refused("embedded-failed", f"cannot connect to the embedded server: {error}") from error

    async def close(self) -> None:
        """Let it go."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
        await self._client.aclose()

    async def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Return the answers to some commands, sent together. Raises as redis-py does."""
        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await connection.read_response(disable_decoding=True) for _ in commands]


async def rescue(line: Lifeline, data: Path) -> int:
    """Write all that the server holds into append-only files in a new data folder; return how many keys.

    Everybody else's connection is ended first, so nothing is accepted that is not saved.

    Raises:
        Refused: it could not be read or written; what is in the folder then is not taken for data by a server.
    """
    try:
        await line.ask(("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        files = data / FILES
        files.mkdir(mode=0o700, exist_ok=True)
        fresh = files / f".{_FILE}"
        with fresh.open("wb") as file:
            count = 0
            for database in await _databases(line):
                await line.ask(("SELECT", database))
                file.write(_encoded(b"SELECT", str(database).encode()))
                count += await _copy(line, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(files / _FILE)
        (files / "appendonly.aof.manifest").write_text(f"file {_FILE} seq 1 type i\n")
    except (failures.RedisError, OSError) as error:
        raise Refused("embedded-failed", f"cannot save what the embedded server holds: {error}") from error
    return count


async def _databases(line: Lifeline) -> list[int]:
    [info] = await line.ask(("INFO", "keyspace"))
    heads = (row.partition(b":")[0] for row in bytes(info).splitlines() if row.startswith(b"db"))
    return [int(head[2:]) for head in heads]


async def _copy(line: Lifeline, file: Any) -> int:
    cursor, count = b"0", 0
    while True:
        [(cursor, keys)] = await line.ask(("SCAN", cursor, "COUNT", _PAGE))
        asked = [words for key in keys for words in (("DUMP", key), ("PEXPIRETIME", key))]
        found = await line.ask(*asked) if asked else []
        for key, payload, expires_at in zip(keys, found[::2], found[1::2], strict=True):
            if payload is None:
                continue  # it has expired meanwhile
            at = str(max(0, cast("int", expires_at))).encode()
            # REPLACE: a scan may name a key twice.
            file.write(_encoded(b"RESTORE", key, at, payload, b"ABSTTL", b"REPLACE"))
            count += 1
        if int(cursor) == 0:
            return count


def _encoded(*words: bytes) -> bytes:
    head = b"*%d\r\n" % len(words)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
