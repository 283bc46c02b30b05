"""Maintenance of a queue and its jobs, for plain code: the methods that `Queue` has besides adding and waiting."""

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


class QueueUpkeep:
    """What `Queue` can do to a queue and its jobs by hand. Each step is atomic; a long change is many steps."""

    keys: Keys

    def _run(self, steps: Steps[T]) -> T:
        """Run a piece of work on this process's connections."""
        raise NotImplementedError

    def empty(self, *, delayed: bool = False) -> int:
        """Delete the jobs that wait to run, with `delayed` also those due later; return how many.

        What runs or is finished, parents that wait for their children and the next jobs of schedules stay. BullMQ calls
        that drain.
        """
        return self._run(maintenance.empty(self.keys, delayed=delayed))

    def clean(self, state: str = "completed", older: str | float = 0, limit: int | None = None) -> list[str]:
        """Delete the oldest jobs of one state that finished (else started, else were added) at least `older` ago.

        Returns their ids. "active" means those whose lock is gone. Others are told by the event `cleaned`.
        """
        return self._run(maintenance.clean(self.keys, state, older, limit))

    def obliterate(self, *, force: bool = False) -> int:
        """Delete the queue with all that is in it; return how many jobs that were.

        Raises:
            Refused: jobs run, and it is not forced; nothing was deleted.
        """
        return self._run(maintenance.obliterate(self.keys, force=force))

    def pause(self, reason: str | None = None) -> None:
        """Let no worker anywhere take jobs of this queue; `reason` is shown by jobd."""
        self._run(maintenance.pause(self.keys, reason))

    def resume(self) -> None:
        """Undo pause."""
        self._run(maintenance.resume(self.keys))

    def retry(self, job_id: str) -> None:
        """Let a failed or completed job run again.

        Raises:
            NotThere: there is no such job.
            Refused: it has not finished.
        """
        self._run(maintenance.retry(self.keys, job_id))

    def retry_all(self, **chosen: Unpack[Chosen]) -> int:
        """Let the failed jobs (or of the given state) that fit run again; return how many. See Chosen."""
        return self._run(maintenance.retry_all(self.keys, **chosen))

    def promote(self, job_id: str) -> None:
        """Let a delayed job run now. Raises as retry."""
        self._run(maintenance.promote(self.keys, job_id))

    def promote_all(self, **chosen: Unpack[Chosen]) -> int:
        """Let the delayed jobs that fit run now; return how many."""
        return self._run(maintenance.promote_all(self.keys, **chosen))

    def remove(self, job_id: str, *, children: bool = True) -> None:
        """Delete a job, and with `children` those below it in a flow.

        Raises:
            NotThere: there is no such job.
            Refused: a worker runs it or a child of it, or it is the next job of a schedule.
        """
        self._run(maintenance.remove(self.keys, job_id, children=children))

    def remove_all(self, **chosen: Unpack[Chosen]) -> int:
        """Delete the jobs that fit and that nobody runs; return how many."""
        return self._run(maintenance.remove_all(self.keys, **chosen))

    def cancel(self, job_id: str) -> bool:
        """Let a job run no more: one that waits has failed, one that runs is stopped by its jobd host. Never retried.

        Returns whether it runs: it ends within a third of its lock's life, or `kill_after` later.

        Raises:
            NotThere: there is no such job.
            Refused: it has finished.
        """
        return self._run(maintenance.cancel(self.keys, job_id))

    def cancel_all(self, **chosen: Unpack[Chosen]) -> int:
        """Let the jobs that fit and have not finished run no more; return how many."""
        return self._run(maintenance.cancel_all(self.keys, **chosen))

    def change_delay(self, job_id: str, delay: str | float) -> None:
        """Let a delayed job be due in `delay` from now. Raises as retry."""
        self._run(maintenance.change_job_delay(self.keys, job_id, delay))

    def change_priority(self, job_id: str, priority: int, *, lifo: bool = False) -> None:
        """Give a job another priority, 0 for none; it goes behind its equals, with `lifo` before them.

        Raises:
            NotThere: there is no such job.
        """
        self._run(maintenance.change_job_priority(self.keys, job_id, priority, lifo=lifo))

    def update_data(self, job_id: str, data: Any) -> None:
        """Replace a job's data. Raises as change_priority."""
        self._run(maintenance.update_job_data(self.keys, job_id, data))

    def get_state(self, job_id: str) -> str:
        """Return where a job is, in BullMQ's word; "unknown" when it is nowhere."""
        return self._run(maintenance.state_of(self.keys, job_id))

    def jobs(self, *states: str, start: int = 0, stop: int = 99, asc: bool | None = None) -> list[JobRecord]:
        """Return the jobs of these states (of all without one), state by state, ranks `start` to `stop` of each.

        BullMQ's order: next to run or due first, finished ones latest first; `asc` says otherwise for all of them.
        """
        return self._run(maintenance.jobs(self.keys, states, start, stop, asc=asc))

    def logs(self, job_id: str, start: int = 0, stop: int = -1) -> list[str]:
        """Return the lines a job logged, oldest first, by position, both ends included."""
        return self._run(maintenance.logs(self.keys, job_id, start, stop))

    def counts_per_priority(self, priorities: Iterable[int]) -> dict[int, int]:
        """Return how many jobs wait with each of these priorities; 0 is those without one."""
        return self._run(maintenance.per_priority(self.keys, priorities))

    def metrics(self, kind: str = "completed", start: int = 0, stop: int = -1) -> Metrics:
        """Return how many jobs were "completed" or "failed" in each minute, as BullMQ's getMetrics."""
        return self._run(maintenance.metrics(self.keys, kind, start, stop))

    def remove_orphans(self) -> int:
        """Delete jobs that no list or set names any more, and what is left of jobs that are gone; return how many."""
        return self._run(maintenance.remove_orphans(self.keys))
