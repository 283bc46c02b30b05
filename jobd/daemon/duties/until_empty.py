"""`jobd run --until-empty`: wait until the queues of this host have nothing left to run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.engine.keys import Keys
from jobd.engine.reading import queue_facts
from jobd.errors import RedisUnavailable

if TYPE_CHECKING:
    from jobd.daemon.supervisor import Supervisor
    from jobd.engine.runner import AsyncRunner

_PAUSE_S = 0.1
_OPEN = ("waiting", "prioritized", "delayed", "active")


async def until_empty(supervisor: Supervisor, runner: AsyncRunner) -> None:
    """Return when nothing waits, runs or is delayed in any queue of this host.

    Twice in a row: between two queues a handler may add to the one that was looked at first.
    """
    quiet_looks = 0
    while quiet_looks < 2:
        await asyncio.sleep(_PAUSE_S)
        prefix = supervisor.fleet.source.prefix
        try:
            facts = await runner.run_many([queue_facts(Keys(prefix, name)) for name in supervisor.fleet.pools])
        except RedisUnavailable:
            quiet_looks = 0
            continue
        busy = supervisor.fleet.busy() or any(fact.counts[state] for fact in facts for state in _OPEN)
        quiet_looks = 0 if busy or not supervisor.ready_once else quiet_looks + 1
