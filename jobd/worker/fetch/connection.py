"""One connection to Redis on which commands are sent once and every wait has an end.

redis-py opens it (its authentication, TLS, parser); nothing is retried here: what a lost answer means is the caller's
to decide.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, NoScriptError, RedisError

from jobd.engine.connect import raw_connection
from jobd.engine.trouble import Trouble, translate
from jobd.errors import RedisUnavailable
from jobd.worker import forks
from jobd.worker.fetch.replies import AVAILABLE, Replies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobd.engine.runner import Command
    from jobd.engine.scripts import Script
    from jobd.locate import RedisSource

_pack: Callable[[Sequence[Any]], bytes]
try:
    from hiredis import pack_command

    _pack = pack_command  # type: ignore[assignment]  # it takes any sequence
except ImportError:  # The base install has no hiredis; redis-py's own packer says the same, at five times the cost.
    from redis._parsers import Encoder
    from redis.connection import PythonRespSerializer

    _serializer = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode)  # type: ignore[no-untyped-call]

    def _pack_in_python(words: Sequence[Any]) -> bytes:
        return b"".join(_serializer.pack(*words))  # type: ignore[no-untyped-call]

    _pack = _pack_in_python


OPEN_LIMIT_S = 2.0
"""Opening a connection takes less, or Redis is as good as away: consumption must resume 2 s after its return."""


class Wire:
    """A connection that is open or closed; `client_id` is Redis' number of it while it is open."""

    def __init__(self, source: RedisSource, client_name: str, scripts: Sequence[Script] = ()) -> None:
        """`scripts` are made known to Redis at each opening: one that is missing would run after its followers."""
        self.name = client_name
        self._source = source
        self._scripts = scripts
        self._connection: Any = None
        self._replies: Replies | None = None
        self.client_id = 0
        forks.withhold(self)

    def fileno(self) -> int:
        """Return the descriptor of the connection, -1 while it is closed."""
        writer = self._connection._writer if self._connection is not None else None
        return writer.get_extra_info("socket").fileno() if writer is not None else -1

    @property
    def sends_at_once(self) -> bool:
        """Whether `begin` has sent when it returns."""
        return self._replies is not None

    @property
    def is_open(self) -> bool:
        """Whether it was opened and has not failed since."""
        return self._connection is not None and not (self._replies is not None and self._replies.lost)

    async def open(self) -> None:
        """Open it anew; an old connection is dropped first.

        Raises:
            RedisUnavailable: nobody answers in time.
            RedisRefused: the credentials or the name were refused.
        """
        self.drop()
        connection = raw_connection(self._source, client_name=self.name)
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
                self._take_over(connection)
                await self._introduce()
        except TimeoutError as error:
            self._give_up(connection)
            raise RedisUnavailable(f"redis did not answer within {OPEN_LIMIT_S:g}s") from error
        except (RedisError, OSError) as error:
            self._give_up(connection)
            told = translate(error)
            if told.trouble is Trouble.CREDENTIALS and self._source.renewal is not None:
                self._source.renewal.refused()
            raise told from error
        except BaseException:
            self._give_up(connection)
            raise

    def _take_over(self, connection: Any) -> None:
        self._connection = connection
        if AVAILABLE:
            self._replies = Replies(connection._writer.transport)

    async def _introduce(self) -> None:
        """Load the scripts and learn our number; 0 where that is not permitted."""
        loads = [("SCRIPT", "LOAD", script.source) for script in self._scripts]
        *loaded, number = await self.words(*loads, ("CLIENT", "ID"))
        for reply in (*loaded, number):
            if isinstance(reply, RedisError) and not isinstance(reply, NoPermissionError):
                raise reply
        self.client_id = number if isinstance(number, int) else 0

    async def words(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands in one write and return their raw replies; an error reply is returned, not raised.

        Raises:
            RedisUnavailable: the connection broke; whether anything ran is unknown. It is closed now.
        """
        return await self._awaited(self._begin(commands))

    def begin(self, *commands: Command[Any]) -> Awaitable[list[Any]]:
        """Send commands in one write, now if hiredis is there, else when `finish` awaits what this returns."""
        return self._begin([command.parts() for command in commands])

    async def finish(self, commands: Sequence[Command[Any]], begun: Awaitable[list[Any]]) -> list[Any]:
        """Return the results of commands that were begun; a script Redis does not know is loaded and sent again.

        Raises:
            RedisUnavailable: as `words`.
            RedisRefused: one of them got an error; the others may have run.
        """
        replies = await self._awaited(begun)
        results = []
        for command, reply in zip(commands, replies, strict=True):
            found = reply
            if isinstance(found, NoScriptError) and command.script is not None:
                # It did not run, so sending it again is sending it once.
                found = (await self.words(("SCRIPT", "LOAD", command.script.source), command.parts()))[1]
            if isinstance(found, RedisError):
                raise translate(found) from found
            results.append(command.read(found))
        return results

    async def run(self, *commands: Command[Any]) -> list[Any]:
        """Send commands in one write and return their results; raises as `finish`."""
        return await self.finish(commands, self.begin(*commands))

    def _begin(self, commands: Sequence[Sequence[Any]]) -> Awaitable[list[Any]]:
        connection = self._connection
        if connection is None:
            raise RedisUnavailable("redis is away: not connected")
        request = _pack(commands[0]) if len(commands) == 1 else b"".join(map(_pack, commands))
        if self._replies is not None:
            return self._replies.ask(request, len(commands))
        return self._exchange(connection, request, len(commands))

    async def _exchange(self, connection: Any, request: bytes, replies: int) -> list[Any]:
        await connection.send_packed_command(request, False)
        return [await self._reply(connection) for _ in range(replies)]

    async def _awaited(self, begun: Awaitable[list[Any]]) -> list[Any]:
        try:
            return await begun
        except (RedisError, OSError) as error:
            self.drop()
            raise translate(error) from error
        except asyncio.CancelledError:
            # Replies are still to come: whoever asked next would read them for its own.
            self.drop()
            raise

    async def end_client(self, client_id: int, name: str) -> None:
        """End another connection of ours, if that number still has that name: a restarted Redis counts anew.

        Raises:
            RedisUnavailable: as `words`.
        """
        if not client_id or client_id == self.client_id:
            return
        (listed,) = await self.words(("CLIENT", "LIST", "ID", client_id))
        if isinstance(listed, bytes) and f" name={name} ".encode() in listed:
            await self.words(("CLIENT", "KILL", "ID", client_id))

    def drop(self) -> None:
        """Close it at once; whoever waits on it gets RedisUnavailable."""
        connection, self._connection = self._connection, None
        replies, self._replies = self._replies, None
        if replies is not None:
            replies.close()
        if connection is not None:
            _abort(connection)

    def _give_up(self, connection: Any) -> None:
        self.drop()
        _abort(connection)

    async def _reply(self, connection: Any) -> Any:
        try:
            return await connection.read_response()
        except RedisError as error:
            if isinstance(translate(error), RedisUnavailable):
                raise
            return error


def _abort(connection: Any) -> None:
    # Not `disconnect`: that waits for the other side, which may be stopped.
    writer = connection._writer
    connection._writer = connection._reader = None
    if writer is not None:
        writer.transport.abort()
