"""Run a long row of commands with the next one already on its way while Redis works on the one before."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

import redis.exceptions as failures

from jobd.engine.runner import Command
from jobd.engine.trouble import translate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

    from jobd.engine.scripts import Script

T = TypeVar("T")

WINDOW = 2
"""Commands under way: one that Redis runs, one that waits there. More would only be memory."""


def run_stream(client: Redis, script: Script, commands: Iterable[Command[T]]) -> Iterator[T]:
    """Run commands that all use `script`, in order, on one connection; gives each result when it is there.

    `commands` is drawn from as it goes, so that making the next one costs no time of Redis. Whoever stops drawing
    results early leaves the commands under way to their end.

    Raises:
        RedisUnavailable: no answer; the commands whose results did not come may or may not have run.
        RedisRefused: Redis answered with an error; those under way behind it may have run.
    """
    pool = client.connection_pool
    under_way: deque[Command[T]] = deque()
    connection: Any = None
    clean = False
    try:
        connection = pool.get_connection()
        # A NOSCRIPT in the middle would come too late to keep the order.
        connection.send_command("SCRIPT LOAD", script.source)
        connection.read_response()
        for command in commands:
            connection.send_command(*command.parts())
            under_way.append(command)
            if len(under_way) == WINDOW:
                yield under_way.popleft().read(connection.read_response())
        while under_way:
            yield under_way.popleft().read(connection.read_response())
        clean = True
    except (failures.RedisError, OSError) as error:
        raise translate(error) from error
    finally:
        if connection is not None:
            if not clean:
                connection.disconnect()  # answers to come would be taken for those of the next command
            pool.release(connection)
