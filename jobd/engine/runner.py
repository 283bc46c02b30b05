"""Run a Command on a connection, sync or async. What is sent, and sent again, is decided once (conversation.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import redis.exceptions as failures

from jobd.engine.conversation import Exchange, Talk, begun, conversation
from jobd.engine.trouble import translate
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from jobd.engine.scripts import Script
    from jobd.locate import RedisSource

hiredis_pack: Callable[[Any], bytes] | None = None
with suppress(ImportError):  # an extra
    from hiredis import pack_command as hiredis_pack

T = TypeVar("T")
Word = str | bytes | int | float


class Command(Generic[T]):
    """One operation on Redis: what to send, and how to read the answer. Never changed.

    `words` is a plain Redis command, or with `script` what follows the hash in EVALSHA: the number of keys, the keys,
    the arguments. `read` turns the reply (bytes, not text) into the result.
    """

    __slots__ = ("read", "script", "words")

    def __init__(self, words: tuple[Word, ...], read: Callable[[Any], T], script: Script | None = None) -> None:
        self.words = words
        self.read = read
        self.script = script

    def parts(self) -> tuple[Word, ...]:
        """The words as they go over the wire."""
        if self.script is None:
            # redis-py reshapes the replies of commands it knows by name, and knows them as str only.
            return (str(self.words[0]).encode(), *self.words[1:])
        return ("EVALSHA", self.script.sha, *self.words)


Steps = Generator[Sequence[Command[Any]], list[Any], T]
"""A long piece of work: the commands of one round trip after another, each answered by their results."""


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
        connection = self.connection()
        try:
            [reply] = self._round(connection, _packed_one(connection, command.parts()), 1)
            if isinstance(reply, failures.RedisError):
                reply = self._carry_on(connection, begun(command), [reply])[0]
        finally:
            self.client.connection_pool.release(connection)
        return _read(command, reply)

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
            raise translate(error, sent=False) from None
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
            raise translate(error, sent=False) from None

    def _talk(self, commands: Sequence[Command[Any]]) -> list[Any]:
        talk = conversation(commands)
        exchange = next(talk)
        connection = self.connection()
        try:
            return self._carry_on(connection, talk, self._exchange(connection, exchange))
        finally:
            self.client.connection_pool.release(connection)

    def _carry_on(self, connection: Any, talk: Talk, replies: list[Any]) -> list[Any]:
        try:
            while True:
                exchange = talk.send(replies)
                if exchange.renew:
                    self.renew(connection)
                replies = self._exchange(connection, exchange)
        except StopIteration as end:
            done: list[Any] = end.value
            return done

    def _exchange(self, connection: Any, exchange: Exchange) -> list[Any]:
        sent = exchange.sent()
        return self._round(connection, _packed(connection, sent), len(sent))[len(exchange.loads) :]

    def _round(self, connection: Any, packed: Any, answers: int) -> list[Any]:
        try:
            connection.send_packed_command(packed)
            return [self._reply(connection) for _ in range(answers)]
        except (failures.RedisError, OSError) as error:
            connection.disconnect()  # replies to come would be taken for those of the next command
            raise translate(error) from None
        except BaseException:
            connection.disconnect()  # a handler's time limit came between two replies
            raise

    def _reply(self, connection: Any) -> Any:
        try:
            return connection.read_response(disable_decoding=True)
        except failures.ResponseError as error:
            return error


class AsyncRunner:
    """Runs commands on the pool of a redis.asyncio client, as SyncRunner."""

    one_server = True
    """Whether all keys lie on the same server, so that one command may be about several queues."""

    def __init__(self, client: AsyncRedis) -> None:
        self.client = client

    async def run(self, command: Command[T]) -> T:
        """Run one command. Raises as SyncRunner.run."""
        pool: Any = self.client.connection_pool
        connection = await self._connection(pool)
        try:
            [reply] = await self._round(connection, _packed_one(connection, command.parts()), 1)
            if isinstance(reply, failures.RedisError):
                reply = (await self._carry_on(connection, begun(command), [reply]))[0]
        finally:
            await pool.release(connection)
        return _read(command, reply)

    async def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands in one round trip, as SyncRunner.run_many."""
        return _read_all(commands, await self._talk(commands)) if commands else []

    async def run_each(self, commands: Sequence[Command[T]]) -> list[T | RedisRefused]:
        """Run commands as `run_many`, but what Redis refuses has the refusal as its answer: the others have theirs."""
        return _answers(commands, await self._talk(commands)) if commands else []

    async def renew(self, source: RedisSource) -> None:
        """Have the next connections opened with the credentials of `source`; idle ones are closed now."""
        from jobd.engine.connect import renew

        await renew(self.client, source)

    async def close_idle(self) -> None:
        """Close the connections that nobody has needed since this was called last, but one."""
        pool: Any = self.client.connection_pool
        await pool.close_unused()

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
            return await self._carry_on(connection, talk, await self._exchange(connection, exchange))
        finally:
            await pool.release(connection)

    async def _carry_on(self, connection: Any, talk: Talk, replies: list[Any]) -> list[Any]:
        pool: Any = self.client.connection_pool
        try:
            while True:
                exchange = talk.send(replies)
                if exchange.renew:
                    _outdate_all(pool)
                    await self._reconnect(pool, connection)
                replies = await self._exchange(connection, exchange)
        except StopIteration as end:
            done: list[Any] = end.value
            return done

    async def _connection(self, pool: Any) -> Any:
        try:
            connection = await pool.get_connection()
        except (failures.RedisError, OSError) as error:
            raise translate(error, sent=False) from None
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
            raise translate(error, sent=False) from None
        _stamp(pool, connection)

    async def _exchange(self, connection: Any, exchange: Exchange) -> list[Any]:
        sent = exchange.sent()
        return (await self._round(connection, _packed(connection, sent), len(sent)))[len(exchange.loads) :]

    async def _round(self, connection: Any, packed: Any, answers: int) -> list[Any]:
        cancels = _cancels()
        try:
            await connection.send_packed_command(packed)
            _raise_swallowed(cancels)
            return [await self._reply(connection) for _ in range(answers)]
        except (failures.RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise translate(error) from None
        except asyncio.CancelledError:
            # Replies are still to come: whoever asked next would read them for its own.
            await connection.disconnect(nowait=True)
            raise

    async def _reply(self, connection: Any) -> Any:
        try:
            return await connection.read_response(disable_decoding=True)
        except failures.ResponseError as error:
            return error


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _raise_swallowed(before: int) -> None:
    """Be cancelled by what came as the last byte left.

    redis-py sends by asyncio.wait_for, which swallows a cancel that comes with the end (bpo-42130, until Python 3.12).
    """
    if _cancels() > before:
        raise asyncio.CancelledError


# The pool counts its failovers, a connection carries the count at which it was made: one that is behind is outdated.


def _is_outdated(pool: Any, connection: Any) -> bool:
    failovers = getattr(pool, "jobd_failovers", 0)
    return failovers != 0 and getattr(connection, "jobd_failovers", 0) != failovers


def _outdate_all(pool: Any) -> None:
    pool.jobd_failovers = getattr(pool, "jobd_failovers", 0) + 1


def _stamp(pool: Any, connection: Any) -> None:
    connection.jobd_failovers = getattr(pool, "jobd_failovers", 0)


def _packed(connection: Any, sent: list[tuple[Word, ...]]) -> Any:
    return _packed_one(connection, sent[0]) if len(sent) == 1 else connection.pack_commands(sent)


def _packed_one(connection: Any, words: tuple[Word, ...]) -> Any:
    # Where there is hiredis redis-py packs by it as well, after it has looked at every word twice.
    return connection.pack_command(*words) if hiredis_pack is None else (hiredis_pack(words),)


def _read(command: Command[T], reply: Any) -> T:
    if isinstance(reply, failures.RedisError):
        raise translate(reply) from reply
    return command.read(reply)


def _answers(commands: Sequence[Command[T]], replies: Sequence[Any]) -> list[T | RedisRefused]:
    found: list[T | RedisRefused] = []
    for command, reply in zip(commands, replies, strict=True):
        try:
            found.append(_read(command, reply))
        except RedisRefused as refused:
            found.append(refused)
    return found


def _read_all(commands: Sequence[Command[T]], replies: Sequence[Any]) -> list[T]:
    return [_read(command, reply) for command, reply in zip(commands, replies, strict=True)]
