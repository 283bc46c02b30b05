"""Which jobs of a queue a bulk command means, and how to walk over them while they leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.reading import COUNTED, list_jobs, queue_facts
from jobd.engine.states import State
from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jobd.engine.job import JobRecord
    from jobd.engine.keys import Keys
    from jobd.engine.runner import AsyncRunner

PAGE = 100
"""Jobs read, or acted on, at once: that takes a daemon's loop a few milliseconds, between which it renews locks."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters, all of which a job must pass; an empty one takes every job.

    `name` and `error` are globs (error: on the failedReason). `since_ms`: its last moment (finished, else started, else
    added) is at most that long ago; `older_ms`: at least that long ago. `limit`: the first so many that pass.
    """

    state: State | None = None
    name: str | None = None
    error: str | None = None
    since_ms: int | None = None
    older_ms: int | None = None
    limit: int | None = None

    @classmethod
    def of(
        cls,
        *,
        state: str | None = None,
        name: str | None = None,
        error: str | None = None,
        since_ms: int | None = None,
        older_ms: int | None = None,
        limit: int | None = None,
    ) -> Selection:
        """Return the selection of what a person typed.

        Raises:
            InputError: no such state, or a negative limit.
        """
        words = [known.value for known in COUNTED]
        if state is not None and state not in words:
            raise InputError(f'no such state: "{state}"; known are {", ".join(words)}')
        if limit is not None and limit < 0:
            raise InputError(f"limit: expected a whole number of at least 0, got {limit}")
        return cls(State(state) if state else None, name, error, since_ms, older_ms, limit)

    def states(self) -> tuple[State, ...]:
        """The states to look through, in order."""
        return (self.state,) if self.state else COUNTED

    def takes(self, job: JobRecord, now_ms: int) -> bool:
        """Return whether a job passes."""
        age_ms = now_ms - (job.finished_at or job.processed_at or job.timestamp)
        return (
            (self.name is None or fnmatchcase(job.name, self.name))
            and (self.error is None or fnmatchcase(job.failed_reason or "", self.error))
            and (self.since_ms is None or age_ms <= self.since_ms)
            and (self.older_ms is None or age_ms >= self.older_ms)
        )


@dataclass(slots=True)
class Matches:
    """The jobs of one page that passed. Who makes some of them leave their state says how many in `removed`."""

    jobs: list[JobRecord] = field(default_factory=list)
    removed: int = 0


async def pages(
    runner: AsyncRunner,
    keys: Keys,
    selection: Selection,
    *,
    states: Sequence[State] | None = None,
    newest_finished_first: bool = False,
    field_max: int = 0,
) -> AsyncIterator[Matches]:
    """Walk over the jobs that are there now, a page at a time; those that come meanwhile are not waited for.

    Payloads of more than `field_max` bytes are not read: what a walk chooses by is short.
    A retried job that fails again at once returns behind all others: the walk ends after as many as there were.
    """
    now_ms = SYSTEM_CLOCK.now_ms()
    counts = (await runner.run(queue_facts(keys))).counts
    for state in states or selection.states():
        asc = not (newest_finished_first and state in (State.COMPLETED, State.FAILED))
        left, start = counts[state], 0
        while left > 0:
            size = min(PAGE, left)
            listed = await runner.run(list_jobs(keys, state, start, start + size - 1, asc=asc, field_max=field_max))
            if not listed:
                break
            jobs = [job for job in listed if not isinstance(job, str) and selection.takes(job, now_ms)]
            page = Matches(jobs)
            yield page
            left -= len(listed)
            start += len(listed) - page.removed
