"""Ask Redis what `status` shows, within 300 ms: a status must come at once, whatever Redis does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobd.daemon.control.status_document import RedisAnswer
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
    found = _Found()
    try:
        async with asyncio.timeout(LIMIT_S):
            await _ask(found, runner, source.prefix, queues)
        up = True
    except TimeoutError:
        up, found.error = False, f"no answer within {LIMIT_S * 1000:.0f} ms"
    except JobdError as failure:
        up, found.error = False, str(failure)
    return RedisAnswer(
        url=source.shown,
        origin=source.origin,
        embedded=source.embedded,
        up=up,
        latency_ms=found.latency_ms if up else None,
        version=found.version if up else None,
        error=found.error,
        facts=found.facts if up else {},
    )


@dataclass(slots=True)
class _Found:
    latency_ms: float | None = None
    version: str | None = None
    error: str | None = None
    facts: dict[str, QueueFacts] = field(default_factory=dict)


async def _ask(found: _Found, runner: AsyncRunner, prefix: str, queues: Mapping[str, int]) -> None:
    sent = time.perf_counter()
    await runner.run(_PING)
    found.latency_ms = (time.perf_counter() - sent) * 1000
    # INFO is "dangerous" to Redis' access lists: without it only the version is unknown.
    with contextlib.suppress(RedisRefused):
        found.version = await runner.run(_VERSION)
    commands = [queue_facts(Keys(prefix, queue), most) for queue, most in queues.items()]
    try:
        found.facts = dict(zip(queues, await runner.run_many(commands), strict=True))
    except RedisRefused as error:
        # One key of a wrong type must not blank the other queues.
        found.error = str(error)
        each = await asyncio.gather(*map(runner.run, commands), return_exceptions=True)
        found.facts = {queue: one for queue, one in zip(queues, each, strict=True) if isinstance(one, QueueFacts)}


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


_PING: Command[bool] = Command(("PING",), bool)
_VERSION: Command[str | None] = Command(("INFO", "server"), _read_version)
