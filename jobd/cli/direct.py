"""Straight to Redis, on any BullMQ deployment: how an operation is done when no daemon answers, or with --redis."""

from __future__ import annotations

import asyncio
import os
import pwd
from typing import TYPE_CHECKING, Any

from jobd.engine.connect import async_client
from jobd.engine.runner import AsyncRunner
from jobd.errors import ConfigError, InputError
from jobd.locate import redis_source
from jobd.operations.operation import NamedCaller, Place
from jobd.operations.params import read_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis as AsyncRedis

    from jobd.cli.settings import Settings
    from jobd.locate import RedisSource
    from jobd.operations.operation import Operation, P, R


def perform(settings: Settings, operation: Operation[P, R], params: Mapping[str, Any]) -> R:
    """Return the document that a daemon would answer with.

    Raises:
        NoRedisConfigured: nothing says which Redis.
        RedisUnavailable: it does not answer.
        BadParams: a parameter is wrong.
    """
    read = read_params(operation.params, params)
    source = redis_source(settings.redis, config=settings.config)

    async def act() -> R:
        client = _client(source, given=bool(settings.redis))
        try:
            return await operation.method()(Place(AsyncRunner(client), source.prefix, NamedCaller(_who())), read)
        finally:
            await client.aclose()

    return asyncio.run(act())


def _client(source: RedisSource, *, given: bool) -> AsyncRedis:
    try:
        return async_client(source)
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
