"""Ask Redis regularly whether it takes writes: an idle daemon writes nothing, its producers would learn it first.

While it is full nothing new is taken on this host: what a job adds would be refused, and its own end needs memory too.
What runs is finished: the scripts that do it begin with a write that a full Redis allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.engine.admin import probe_writes
from jobd.engine.keys import Keys
from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.fleet import Fleet
    from jobd.engine.runner import AsyncRunner

TICK_S = 2.0


class RedisProbe(Duty):
    """One write that changes nothing, every two seconds; what Redis answers is told by `status` and `health`."""

    name = "redis probe"

    def __init__(self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str, str | None], None]) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner

    async def run_once(self) -> float:
        """Try the write on a queue of this host."""
        name = next(iter(self._fleet.pools), None)
        if name is not None:
            try:
                await self._runner.run(probe_writes(Keys(self._fleet.source.prefix, name)))
                self._fleet.withhold(False)
            except RedisRefused as error:
                self._fleet.withhold(error.trouble == Trouble.MEMORY_FULL)
                # This one command may be withheld from us; whether those that matter are is told by the others.
                if error.trouble not in (Trouble.NO_PERMISSION, Trouble.OTHER):
                    raise
        return TICK_S
