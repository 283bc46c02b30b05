"""While Redis is full: bring finished jobs down to what the file says.

History is trimmed when a job finishes, and while Redis is full none does. So `keep_completed` and a reload, or a file
that always had it beside a Node worker that did not, free memory by themselves.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty
from jobd.daemon.logs import event_log
from jobd.engine.admin import trim_history
from jobd.engine.job import KEEP_ALL
from jobd.engine.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.fleet import Fleet
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

TICK_S = 0.5
"""How often a full Redis is looked at; when it becomes full, the duty is told."""


class Trim(Duty):
    """Nothing to do while Redis has room; else at most 1000 jobs of each set at a time, so that nobody waits long."""

    name = "trim"

    def __init__(self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str, str | None], None]) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner

    async def run_once(self) -> float:
        """Trim every queue of this host that has a limit."""
        if not self._fleet.withheld:
            return NOTHING_DUE_S
        more = False
        for pool in list(self._fleet.pools.values()):
            keys = Keys(self._fleet.source.prefix, pool.name)
            for where, keep in ((keys.completed, pool.queue.keep_completed), (keys.failed, pool.queue.keep_failed)):
                if keep == KEEP_ALL:
                    continue
                gone = await self._runner.run(trim_history(keys, where, keep, now_ms=time.time_ns() // 1_000_000))
                if gone:
                    more = True
                    log.info("history trimmed: Redis is full", queue=pool.name, jobs=gone)
        return 0.0 if more else TICK_S
