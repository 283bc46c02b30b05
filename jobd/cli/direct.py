"""Straight to Redis, on any BullMQ deployment: what `queue` and `job` do when no daemon answers, or with --redis."""

from __future__ import annotations

import asyncio
import os
import pwd
from typing import TYPE_CHECKING, Any

from jobd.engine.connect import async_client
from jobd.engine.runner import AsyncRunner
from jobd.errors import ConfigError, InputError
from jobd.locate import redis_source
from jobd.operations import on_redis as operations
from jobd.operations.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from redis.asyncio import Redis as AsyncRedis

    from jobd.cli.settings import Settings
    from jobd.locate import RedisSource

    Act = Callable[[AsyncRunner, str, dict[str, Any]], Awaitable[dict[str, Any]]]


def ask_redis(settings: Settings, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document that the daemon's method of this name would answer with.

    Raises:
        NoRedisConfigured: nothing says which Redis.
        RedisUnavailable: it does not answer.
    """
    source = redis_source(settings.redis, config=settings.config)

    async def act() -> dict[str, Any]:
        client = _client(source, given=bool(settings.redis))
        try:
            return await _ACTS[method](AsyncRunner(client), source.prefix, dict(params))
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


async def _queue_list(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    del params
    return {"queues": await operations.queue_list(runner, prefix)}


async def _queue_show(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"queue": await operations.queue_show(runner, prefix, params["queue"])}


async def _queue_pause(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    await operations.queue_pause(runner, prefix, params["queue"], who=_who(), reason=params["reason"])
    return await _queue_show(runner, prefix, params)


async def _queue_resume(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    await operations.queue_resume(runner, prefix, params["queue"])
    return await _queue_show(runner, prefix, params)


async def _job_add(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"job": await operations.job_add(runner, prefix, **params)}


async def _job_list(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    queue = params.pop("queue")
    return {"jobs": await operations.job_list(runner, prefix, queue, Selection.of(**params))}


async def _job_show(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"job": await operations.job_show(runner, prefix, params["queue"], params["id"])}


async def _job_logs(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"lines": await operations.job_logs(runner, prefix, params["queue"], params["id"])}


async def _job_retry(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return await operations.job_retry(runner, prefix, params.pop("queue"), **_chosen(params))


async def _job_remove(runner: AsyncRunner, prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return await operations.job_remove(runner, prefix, params.pop("queue"), **_chosen(params))


def _chosen(params: dict[str, Any]) -> dict[str, Any]:
    """Return ids, or the selection that filters (none with `all`) stand for."""
    ids, dry_run = params.pop("ids", []), params.pop("dry_run")
    params.pop("all", None)
    return {"ids": ids, "selection": None if ids else Selection.of(**params), "dry_run": dry_run}


def _who() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


_ACTS: dict[str, Act] = {
    "queue.list": _queue_list,
    "queue.show": _queue_show,
    "queue.pause": _queue_pause,
    "queue.resume": _queue_resume,
    "job.add": _job_add,
    "job.list": _job_list,
    "job.show": _job_show,
    "job.logs": _job_logs,
    "job.retry": _job_retry,
    "job.remove": _job_remove,
}
