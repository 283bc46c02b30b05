"""How many jobs a queue has waiting, for the plan of a reload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.engine.keys import Keys
from jobd.engine.reading import queue_facts
from jobd.errors import RedisRefused, RedisUnavailable

if TYPE_CHECKING:
    from jobd.engine.runner import AsyncRunner


async def count_waiting(runner: AsyncRunner, prefix: str, queue: str) -> int | None:
    """Return how many jobs wait in a queue; None when Redis does not answer within 300 ms."""
    try:
        async with asyncio.timeout(0.3):
            facts = await runner.run(queue_facts(Keys(prefix, queue)))
    except (TimeoutError, RedisUnavailable, RedisRefused):
        return None
    return facts.counts["waiting"] + facts.counts["prioritized"]
