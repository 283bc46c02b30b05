"""Close the daemon's connections to Redis that a storm of requests has left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty

if TYPE_CHECKING:
    from jobd.engine.runner import AsyncRunner

TICK_S = 10.0


class IdleConnections(Duty):
    """Every few seconds; a connection that was not needed in between is closed, but one."""

    name = "idle connections"

    def __init__(self, runner: AsyncRunner) -> None:
        super().__init__()
        self._runner = runner

    async def run_once(self) -> float:
        """Close them; asks Redis nothing."""
        await self._runner.close_idle()
        return TICK_S
