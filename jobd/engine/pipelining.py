"""Run a long row of commands with the next one already on its way while Redis works on the one before."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import redis.exceptions as failures

from jobd.engine.trouble import is_demoted, translate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobd.engine.runner import Command, SyncRunner
    from jobd.engine.scripts import Script

T = TypeVar("T")

WINDOW = 2
"""Commands under way: one that Redis runs, one that waits there. More would only be memory."""


def run_pipelined(runner: SyncRunner, script: Script, commands: Iterable[Command[T]]) -> Iterator[T]:
    """Run commands that all use `script`, in order, on one connection; gives each result when it is there.

    `commands` is drawn from as it goes, so that making the next one costs no time of Redis. Whoever stops drawing
    results early leaves the commands under way to their end. What a demoted primary refused is sent once more.

    Raises:
        RedisUnavailable: no answer; the commands whose results did not come may or may not have run, unless
            `may_have_run` says otherwise.
        RedisRefused: Redis answered with an error; those under way behind it may have run.
    """
    connection = runner.connection()
    stream = _Stream[T](runner, connection, script)
    clean = False
    try:
        stream.load()
        for command in commands:
            stream.send(command)
            if len(stream.under_way) == WINDOW:
                yield from stream.results()
        while stream.under_way:
            yield from stream.results()
        clean = True
    except (failures.RedisError, OSError) as error:
        raise translate(error) from None
    finally:
        if not clean:
            connection.disconnect()  # answers to come would be taken for those of the next command
        runner.client.connection_pool.release(connection)


class _Stream(Generic[T]):
    def __init__(self, runner: SyncRunner, connection: Any, script: Script) -> None:
        self.under_way: deque[Command[T]] = deque()
        self._runner = runner
        self._connection = connection
        self._script = script

    def load(self) -> None:
        # A NOSCRIPT in the middle would come too late to keep the order.
        self._connection.send_command("SCRIPT LOAD", self._script.source)
        self._connection.read_response(disable_decoding=True)

    def send(self, command: Command[T]) -> None:
        self._connection.send_command(*command.parts())
        self.under_way.append(command)

    def results(self) -> list[T]:
        """Return the next result; after a failover, those of everything under way."""
        reply = self._reply()
        if not is_demoted(reply):
            if isinstance(reply, failures.RedisError):
                raise reply
            return [self.under_way.popleft().read(reply)]
        commands, replies = list(self.under_way), [reply, *(self._reply() for _ in range(len(self.under_way) - 1))]
        self.under_way.clear()
        self._runner.renew(self._connection)
        self.load()
        return [
            command.read(self._again(command) if is_demoted(reply) else reply)
            for command, reply in zip(commands, replies, strict=True)
        ]

    def _again(self, command: Command[T]) -> Any:
        self._connection.send_command(*command.parts())
        return self._connection.read_response(disable_decoding=True)

    def _reply(self) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True)
        except failures.ResponseError as error:
            return error
