"""Maintenance of a queue and its jobs, for asyncio: the same names as queue_maintenance.py, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from jobd.client.lazy_module import LazyModule

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from jobd.client import maintenance
    from jobd.client.maintenance import Chosen, Metrics
    from jobd.engine.job import JobRecord
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps
else:
    maintenance = LazyModule("jobd.client.maintenance")

T = TypeVar("T")


class AsyncQueueUpkeep:
    """What `AsyncQueue` can do to a queue and its jobs by hand, as QueueUpkeep."""

    keys: Keys

    async def _run(self, steps: Steps[T]) -> T:
        """Run a piece of work on this event loop's connections."""
        raise NotImplementedError

    async def empty(self, *, delayed: bool = False) -> int:
        """As Queue.empty."""
        return await self._run(maintenance.empty(self.keys, delayed=delayed))

    async def clean(self, state: str = "completed", older: str | float = 0, limit: int | None = None) -> list[str]:
        """As Queue.clean."""
        return await self._run(maintenance.clean(self.keys, state, older, limit))

    async def obliterate(self, *, force: bool = False) -> int:
        """As Queue.obliterate."""
        return await self._run(maintenance.obliterate(self.keys, force=force))

    async def pause(self, reason: str | None = None) -> None:
        """As Queue.pause."""
        await self._run(maintenance.pause(self.keys, reason))

    async def resume(self) -> None:
        """As Queue.resume."""
        await self._run(maintenance.resume(self.keys))

    async def retry(self, job_id: str) -> None:
        """As Queue.retry."""
        await self._run(maintenance.retry(self.keys, job_id))

    async def retry_all(self, **chosen: Unpack[Chosen]) -> int:
        """As Queue.retry_all."""
        return await self._run(maintenance.retry_all(self.keys, **chosen))

    async def promote(self, job_id: str) -> None:
        """As Queue.promote."""
        await self._run(maintenance.promote(self.keys, job_id))

    async def promote_all(self, **chosen: Unpack[Chosen]) -> int:
        """As Queue.promote_all."""
        return await self._run(maintenance.promote_all(self.keys, **chosen))

    async def remove(self, job_id: str, *, children: bool = True) -> None:
        """As Queue.remove."""
        await self._run(maintenance.remove(self.keys, job_id, children=children))

    async def remove_all(self, **chosen: Unpack[Chosen]) -> int:
        """As Queue.remove_all."""
        return await self._run(maintenance.remove_all(self.keys, **chosen))

    async def cancel(self, job_id: str) -> bool:
        """As Queue.cancel."""
        return await self._run(maintenance.cancel(self.keys, job_id))

    async def cancel_all(self, **chosen: Unpack[Chosen]) -> int:
        """As Queue.cancel_all."""
        return await self._run(maintenance.cancel_all(self.keys, **chosen))

    async def change_delay(self, job_id: str, delay: str | float) -> None:
        """As Queue.change_delay."""
        await self._run(maintenance.change_job_delay(self.keys, job_id, delay))

    async def change_priority(self, job_id: str, priority: int, *, lifo: bool = False) -> None:
        """As Queue.change_priority."""
        await self._run(maintenance.change_job_priority(self.keys, job_id, priority, lifo=lifo))

    async def update_data(self, job_id: str, data: Any) -> None:
        """As Queue.update_data."""
        await self._run(maintenance.update_job_data(self.keys, job_id, data))

    async def get_state(self, job_id: str) -> str:
        """As Queue.get_state."""
        return await self._run(maintenance.state_of(self.keys, job_id))

    async def jobs(self, *states: str, start: int = 0, stop: int = 99, asc: bool | None = None) -> list[JobRecord]:
        """As Queue.jobs."""
        return await self._run(maintenance.jobs(self.keys, states, start, stop, asc=asc))

    async def logs(self, job_id: str, start: int = 0, stop: int = -1) -> list[str]:
        """As Queue.logs."""
        return await self._run(maintenance.logs(self.keys, job_id, start, stop))

    async def counts_per_priority(self, priorities: Iterable[int]) -> dict[int, int]:
        """As Queue.counts_per_priority."""
        return await self._run(maintenance.per_priority(self.keys, priorities))

    async def metrics(self, kind: str = "completed", start: int = 0, stop: int = -1) -> Metrics:
        """As Queue.metrics."""
        return await self._run(maintenance.metrics(self.keys, kind, start, stop))

    async def remove_orphans(self) -> int:
        """As Queue.remove_orphans."""
        return await self._run(maintenance.remove_orphans(self.keys))
