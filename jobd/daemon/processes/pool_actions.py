"""What a pool has others do: processes, timers, word to whoever waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.place import Timer
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.worker_state import Worker


class PoolActions(Protocol):
    """What a pool needs done for it."""

    def spawn(self, pool: Pool, worker: Worker) -> None:
        """Begin to make the worker's process; what comes of it is told to the worker."""
        ...

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Call back after a while."""
        ...

    def lost(self, pool: Pool, worker: Worker) -> None:
        """A worker's process has ended: see to the jobs it held."""
        ...

    def notify(self) -> None:
        """Something of the pool changed that somebody may wait for."""
        ...

    async def changed(self, limit_s: float | None = None) -> None:
        """Return after the next `notify`, or after the limit."""
        ...
