"""Run a Command on a connection, sync or async: every operation is written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import redis.exceptions as failures

from jobd.engine.trouble import translate
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from jobd.engine.scripts import Script

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


class SyncRunner:
    """Runs commands on a redis-py client. Thread-safe as that client is."""

    def __init__(self, client: Redis) -> None:
        self.client = client

    def run(self, command: Command[T]) -> T:
        """Run one command.

        Raises:
            RedisUnavailable: no answer; whether it ran is unknown.
            RedisRefused: Redis answered with an error.
        """
        try:
            try:
                reply = self.client.execute_command(*command.parts())  # type: ignore[no-untyped-call]
            except failures.NoScriptError:
                self.client.script_load(_source(command))
                reply = self.client.execute_command(*command.parts())  # type: ignore[no-untyped-call]
        except (failures.RedisError, OSError) as error:
            raise translate(error) from error
        return command.read(reply)

    def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands in one round trip, each atomic by itself, in order; the first error is raised at the end."""
        if not commands:
            return []
        try:
            loads = _sources(commands)
            pipe = self.client.pipeline(transaction=False)
            for source in loads:
                pipe.execute_command("SCRIPT LOAD", source)  # type: ignore[no-untyped-call]
            for command in commands:
                pipe.execute_command(*command.parts())  # type: ignore[no-untyped-call]
            replies = pipe.execute(raise_on_error=False)[len(loads) :]
        except (failures.RedisError, OSError) as error:
            raise translate(error) from error
        return _read_all(commands, replies)


class AsyncRunner:
    """Runs commands on a redis.asyncio client."""

    def __init__(self, client: AsyncRedis) -> None:
        self.client = client

    async def run(self, command: Command[T]) -> T:
        """Run one command. Raises as SyncRunner.run."""
        try:
            try:
                reply = await self.client.execute_command(*command.parts())  # type: ignore[no-untyped-call]
            except failures.NoScriptError:
                await self.client.script_load(_source(command))
                reply = await self.client.execute_command(*command.parts())  # type: ignore[no-untyped-call]
        except (failures.RedisError, OSError) as error:
            raise translate(error) from error
        return command.read(reply)

    async def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands in one round trip, as SyncRunner.run_many."""
        if not commands:
            return []
        try:
            loads = _sources(commands)
            pipe = self.client.pipeline(transaction=False)
            for source in loads:
                pipe.execute_command("SCRIPT LOAD", source)
            for command in commands:
                pipe.execute_command(*command.parts())
            replies = (await pipe.execute(raise_on_error=False))[len(loads) :]
        except (failures.RedisError, OSError) as error:
            raise translate(error) from error
        return _read_all(commands, replies)


def _source(command: Command[Any]) -> str:
    if command.script is None:
        raise RedisRefused("redis asked for a script where none was called")
    return command.script.source


def _sources(commands: Iterable[Command[Any]]) -> list[str]:
    # A pipeline cannot answer NOSCRIPT in the middle without losing its order, so it brings its scripts along.
    return list({command.script.sha: command.script.source for command in commands if command.script}.values())


def _read_all(commands: Sequence[Command[T]], replies: Sequence[Any]) -> list[T]:
    results = []
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, failures.RedisError):
            raise translate(reply) from reply
        results.append(command.read(reply))
    return results
