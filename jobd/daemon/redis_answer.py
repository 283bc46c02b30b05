"""Ask Redis what `status` shows, within 300 ms: a status must come at once, whatever Redis does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from jobd.daemon.status import RedisAnswer
from jobd.engine.keys import Keys
from jobd.engine.reading import QueueFacts, queue_facts
from jobd.engine.runner import Command
from jobd.errors import JobdError, RedisRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.engine.runner import AsyncRunner
    from jobd.locate import RedisSource

LIMIT_S = 0.3


async def ask_redis(runner: AsyncRunner, source: RedisSource, queues: Mapping[str, int]) -> RedisAnswer:
    """Return the facts of these queues, or why there are none; never raises, never lasts longer than 300 ms.

    Args:
        queues: {name: `max` of its rate limit in the file, 0 for none}.
    """
    version, latency_ms, error = None, None, None
    facts: dict[str, QueueFacts] = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            sent = time.perf_counter()
            version = await runner.run(_VERSION)
            latency_ms = (time.perf_counter() - sent) * 1000
            facts = await _facts(runner, source.prefix, queues)
    except TimeoutError:
        error = f"no answer within {LIMIT_S * 1000:.0f} ms"
    except JobdError as failure:
        error = str(failure)
    up = error is None
    return RedisAnswer(
        url=source.shown,
        origin=source.origin,
        embedded=source.embedded,
        up=up,
        latency_ms=latency_ms if up else None,
        version=version if up else None,
        error=error,
        facts=facts if up else {},
    )


async def _facts(runner: AsyncRunner, prefix: str, queues: Mapping[str, int]) -> dict[str, QueueFacts]:
    commands = [queue_facts(Keys(prefix, queue), most) for queue, most in queues.items()]
    try:
        return dict(zip(queues, await runner.run_many(commands), strict=True))
    except RedisRefused:
        # One key of a wrong type must not blank the other queues.
        each = await asyncio.gather(*map(runner.run, commands), return_exceptions=True)
        return {queue: found for queue, found in zip(queues, each, strict=True) if isinstance(found, QueueFacts)}


def _read_version(reply: Any) -> str | None:
    """Return the server's own version of an INFO reply; valkey calls itself redis 7.2.4 beside it."""
    fields = reply
    if not isinstance(reply, dict):
        text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    for name in ("valkey_version", "redis_version"):
        if fields.get(name):
            family = name.removesuffix("_version")
            return f"{family} {fields[name]}" if family == "valkey" else str(fields[name])
    return None


_VERSION: Command[str | None] = Command(("INFO", "server"), _read_version, safe_twice=True)
