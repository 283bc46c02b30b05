"""Run a Command on a connection, sync or async. What is sent, and sent again, is decided once, in `conversation`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import redis.exceptions as failures

from jobd.engine.connect import renew
from jobd.engine.trouble import is_demoted, translate

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from jobd.engine.scripts import Script
    from jobd.locate import RedisSource

T = TypeVar("T")
Word = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """One operation on Redis: what to send, and how to read the answer.

    `words` is a plain Redis command, or with `script` what follows the hash in EVALSHA: the number of keys, the keys,
    the arguments. `read` turns the reply (bytes, not text) into the result. `safe_twice` says that sending it again
    after a lost reply changes nothing more.
    """

    words: tuple[Word, ...]
    read: Callable[[Any], T]
    script: Script | None = None
    safe_twice: bool = False

    def parts(self) -> tuple[Word, ...]:
        """The words as they go over the wire."""
        if self.script is None:
            # redis-py reshapes the replies of commands it knows by name, and knows them as str only.
            return (str(self.words[0]).encode(), *self.words[1:])
        return ("EVALSHA", self.script.sha, *self.words)


Steps = Generator[Sequence[Command[Any]], list[Any], T]
"""A long piece of work: the commands of one round trip after another, each answered by their results."""


@dataclass(slots=True)
class Exchange:
    """One write and its replies. `loads` are scripts made known in front; `renew`: on a connection made anew first."""

    words: Sequence[tuple[Word, ...]]
    loads: Sequence[str] = ()
    renew: bool = False

    def sent(self) -> list[tuple[Word, ...]]:
        """Everything that goes over the wire, in order."""
        return [*((b"SCRIPT", b"LOAD", source) for source in self.loads), *self.words] if self.loads else [*self.words]


def conversation(commands: Sequence[Command[Any]]) -> Generator[Exchange, list[Any], list[Any]]:
    """Say what to send and, from the replies, what to send once more; returns one reply per command.

    Sent again is only what did not run: a script that Redis did not know, and what a demoted primary refused.
    """
    # Several in one write cannot wait for NOSCRIPT in the middle without losing their order: they bring their scripts.
    replies = yield Exchange([command.parts() for command in commands], _sources(commands) if len(commands) > 1 else ())
    if isinstance(replies[0], failures.NoScriptError) and len(commands) == 1:
        replies = yield Exchange([commands[0].parts()], _sources(commands))
    again = [index for index, reply in enumerate(replies) if is_demoted(reply)]
    if again:
        refused = [commands[index] for index in again]
        fresh = yield Exchange([command.parts() for command in refused], _sources(refused), renew=True)
        for index, reply in zip(again, fresh, strict=True):
            replies[index] = reply
    return replies


class SyncRunner:
    """Runs commands on the pool of a redis-py client. Thread-safe as that pool is.

    A connection whose server has become a replica is given up and made anew, and so are the others of the pool when
    they are used next; the refused command is sent once more.
    """

    def __init__(self, client: Redis) -> None:
        self.client = client

    def run(self, command: Command[T]) -> T:
        """Run one command.

        Raises:
            RedisUnavailable: no answer; `may_have_run` tells whether it can have run.
            RedisRefused: Redis answered with an error.
        """
        return _read(command, self._talk((command,))[0])

    def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands in one round trip, each atomic by itself, in order; the first error is raised at the end."""
        return _read_all(commands, self._talk(commands)) if commands else []

    def run_steps(self, steps: Steps[T]) -> T:
        """Run a piece of work step by step, each in one round trip. Raises as `run_many`; what was done stays done."""
        try:
            commands = next(steps)
            while True:
                commands = steps.send(self.run_many(commands))
        except StopIteration as end:
            result: T = end.value
            return result

    def connection(self) -> Any:
        """Return a connection of the pool, to be released to it; one from before a failover is made anew.

        Raises:
            RedisUnavailable, RedisRefused: there is none.
        """
        pool: Any = self.client.connection_pool
        connection = None
        try:
            connection = pool.get_connection()
            if _is_outdated(pool, connection):
                self.reconnect(connection)
        except (failures.RedisError, OSError) as error:
            if connection is not None:
                pool.release(connection)
            raise translate(error, sent=False) from error
        return connection

    def reconnect(self, connection: Any) -> None:
        """Make a connection anew. Raises as redis-py does."""
        connection.disconnect()
        connection.connect()
        _stamp(self.client.connection_pool, connection)

    def renew(self, connection: Any) -> None:
        """Give up a connection to a demoted primary, and with it the others of the pool when they are used next."""
        _outdate_all(self.client.connection_pool)
        try:
            self.reconnect(connection)
        except (failures.RedisError, OSError) as error:
            raise translate(error, sent=False) from error

    def _talk(self, commands: Sequence[Command[Any]]) -> list[Any]:
        talk = conversation(commands)
        exchange = next(talk)
        connection = self.connection()
        try:
            while True:
                if exchange.renew:
                    self.renew(connection)
                exchange = talk.send(self._exchange(connection, exchange))
        except StopIteration as end:
            replies: list[Any] = end.value
            return replies
        finally:
            self.client.connection_pool.release(connection)

    def _exchange(self, connection: Any, exchange: Exchange) -> list[Any]:
        sent = exchange.sent()
        try:
            connection.send_packed_command(_packed(connection, sent))
            return [self._reply(connection) for _ in sent][len(exchange.loads) :]
        except (failures.RedisError, OSError) as error:
            connection.disconnect()  # replies to come would be taken for those of the next command
            raise translate(error) from error

    def _reply(self, connection: Any) -> Any:
        try:
            return connection.read_response(disable_decoding=True)
        except failures.ResponseError as error:
            return error


class AsyncRunner:
    """Runs commands on the pool of a redis.asyncio client, as SyncRunner."""

    def __init__(self, client: AsyncRedis) -> None:
        self.client = client

    async def run(self, command: Command[T]) -> T:
        """Run one command. Raises as SyncRunner.run."""
        return _read(command, (await self._talk((command,)))[0])

    async def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands in one round trip, as SyncRunner.run_many."""
        return _read_all(commands, await self._talk(commands)) if commands else []

    async def renew(self, source: RedisSource) -> None:
        """Have the next connections opened with the credentials of `source`; idle ones are closed now."""
        await renew(self.client, source)

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self.client.aclose()

    async def run_steps(self, steps: Steps[T], on_step: Callable[[], None] | None = None) -> T:
        """Run a piece of work step by step, as SyncRunner.run_steps; `on_step` is called after each."""
        try:
            commands = next(steps)
            while True:
                replies = await self.run_many(commands)
                if on_step is not None:
                    on_step()
                commands = steps.send(replies)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _talk(self, commands: Sequence[Command[Any]]) -> list[Any]:
        talk = conversation(commands)
        exchange = next(talk)
        pool: Any = self.client.connection_pool
        connection = await self._connection(pool)
        try:
            while True:
                if exchange.renew:
                    _outdate_all(pool)
                    await self._reconnect(pool, connection)
                exchange = talk.send(await self._exchange(connection, exchange))
        except StopIteration as end:
            replies: list[Any] = end.value
            return replies
        finally:
            await pool.release(connection)

    async def _connection(self, pool: Any) -> Any:
        try:
            connection = await pool.get_connection()
        except (failures.RedisError, OSError) as error:
            raise translate(error, sent=False) from error
        if _is_outdated(pool, connection):
            try:
                await self._reconnect(pool, connection)
            except BaseException:
                await pool.release(connection)
                raise
        return connection

    async def _reconnect(self, pool: Any, connection: Any) -> None:
        try:
            await connection.disconnect(nowait=True)
            await connection.connect()
        except (failures.RedisError, OSError) as error:
            raise translate(error, sent=False) from error
        _stamp(pool, connection)

    async def _exchange(self, connection: Any, exchange: Exchange) -> list[Any]:
        sent = exchange.sent()
        try:
            await connection.send_packed_command(_packed(connection, sent))
            return [await self._reply(connection) for _ in sent][len(exchange.loads) :]
        except (failures.RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise translate(error) from error
        except asyncio.CancelledError:
            # Replies are still to come: whoever asked next would read them for its own.
            await connection.disconnect(nowait=True)
            raise

    async def _reply(self, connection: Any) -> Any:
        try:
            return await connection.read_response(disable_decoding=True)
        except failures.ResponseError as error:
            return error


# The pool counts its failovers, a connection carries the count at which it was made: one that is behind is outdated.


def _is_outdated(pool: Any, connection: Any) -> bool:
    failovers = getattr(pool, "jobd_failovers", 0)
    return failovers != 0 and getattr(connection, "jobd_failovers", 0) != failovers


def _outdate_all(pool: Any) -> None:
    pool.jobd_failovers = getattr(pool, "jobd_failovers", 0) + 1


def _stamp(pool: Any, connection: Any) -> None:
    connection.jobd_failovers = getattr(pool, "jobd_failovers", 0)


def _packed(connection: Any, sent: list[tuple[Word, ...]]) -> Any:
    # For one command alone redis-py has the shorter way.
    return connection.pack_command(*sent[0]) if len(sent) == 1 else connection.pack_commands(sent)


def _sources(commands: Iterable[Command[Any]]) -> list[str]:
    return list({command.script.sha: command.script.source for command in commands if command.script}.values())


def _read(command: Command[T], reply: Any) -> T:
    if isinstance(reply, failures.RedisError):
        raise translate(reply) from reply
    return command.read(reply)


def _read_all(commands: Sequence[Command[T]], replies: Sequence[Any]) -> list[T]:
    return [_read(command, reply) for command, reply in zip(commands, replies, strict=True)]
