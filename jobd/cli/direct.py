"""Straight to Redis, on any BullMQ deployment: how an operation is done when no daemon answers, or with --redis."""

from __future__ import annotations

import asyncio
import os
import pwd
from typing import TYPE_CHECKING, Any

from jobd.cli.queue_names import names_in_file
from jobd.engine.routing import runner_on
from jobd.errors import ConfigError, InputError
from jobd.locate import redis_source
from jobd.operations.operation import NamedCaller, Place
from jobd.operations.params.reading import read_params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from jobd.cli.settings import Settings
    from jobd.engine.runner import AsyncRunner
    from jobd.locate import RedisSource
    from jobd.operations.operation import Operation, P, R


def perform(
    settings: Settings,
    operation: Operation[P, R],
    params: Mapping[str, Any],
    *,
    on_progress: Callable[[str], None] | None = None,
) -> R:
    """Return the document that a daemon would answer with; `on_progress` gets the lines that it would send before.

    Raises:
        NoRedisConfigured: nothing says which Redis.
        RedisUnavailable: it does not answer.
        BadParams: a parameter is wrong.
    """
    with Direct(settings) as redis:
        return redis.perform(operation, params, on_progress)


class Direct:
    """One client of the Redis that a command finds by itself, for one operation after another."""

    def __init__(self, settings: Settings) -> None:
        """Find it. Raises NoRedisConfigured."""
        self.source = redis_source(settings.redis, config=settings.config)
        self._loop = asyncio.Runner()
        self._runner = _runner(self.source, given=bool(settings.redis))
        # A Redis that was named on the command line may be another than the file's.
        self._declared = frozenset(() if settings.redis else names_in_file(settings.config))

    def __enter__(self) -> Direct:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._loop.run(self._runner.aclose())
        self._loop.close()

    def perform(
        self, operation: Operation[P, R], params: Mapping[str, Any], on_progress: Callable[[str], None] | None = None
    ) -> R:
        """Do one operation. Raises as `perform`."""
        read = read_params(operation.params, params)
        caller = NamedCaller(_who(), on_progress or (lambda text: None))
        place = Place(self._runner, self.source.prefix, caller, declared=self._declared)

        async def act() -> R:
            return await operation.method()(place, read)

        return self._loop.run(act())


def _runner(source: RedisSource, *, given: bool) -> AsyncRunner:
    try:
        return runner_on(source)
    except InputError as error:
        if given:
            raise  # the command line is what is wrong
        text = f"{source.origin}: {error}"
        raise ConfigError(text, [text]) from error


def _who() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
