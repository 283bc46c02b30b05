"""Which jobs of a queue many are chosen by, and how to walk over them while they leave."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jobd.engine.reading import COUNTED, list_jobs, queue_facts
from jobd.engine.states import State
from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobd.engine.job import JobRecord
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps

PAGE = 100
"""Jobs read, or acted on, at once: that takes a daemon's loop a few milliseconds, between which it renews locks."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters, all of which a job must pass; an empty one takes every job.

    `name` and `error` are globs (error: on the failedReason). `since_ms`: its last moment (finished, else started, else
    added) is at most that long ago; `older_ms`: at least that long ago. `running_ms`: it is active, and started at
    least that long ago. `limit`: the first so many that pass.
    """

    state: State | None = None
    name: str | None = None
    error: str | None = None
    since_ms: int | None = None
    older_ms: int | None = None
    running_ms: int | None = None
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
        running_ms: int | None = None,
        limit: int | None = None,
    ) -> Selection:
        """Return the selection of what a person typed.

        Raises:
            InputError: no such state, a negative limit, or running jobs of a state other than active.
        """
        words = [known.value for known in COUNTED]
        if state is not None and state not in words:
            raise InputError(f'no such state: "{state}"; known are {", ".join(words)}')
        if limit is not None and limit < 0:
            raise InputError(f"limit: expected a whole number of at least 0, got {limit}")
        if running_ms is not None and state not in (None, State.ACTIVE):
            raise InputError(f'"running" selects active jobs only, not {state} ones')
        known_state = State(state) if state else State.ACTIVE if running_ms is not None else None
        return cls(known_state, name, error, since_ms, older_ms, running_ms, limit)

    def states(self) -> tuple[State, ...]:
        """The states to look through, in order."""
        return (self.state,) if self.state else COUNTED

    @property
    def takes_all(self) -> bool:
        """Whether no filter but the state decides, so that the first `limit` jobs are the ones it takes."""
        return all(one is None for one in (self.name, self.error, self.since_ms, self.older_ms, self.running_ms))

    def takes(self, job: JobRecord, now_ms: int) -> bool:
        """Return whether a job passes."""
        age_ms = now_ms - (job.finished_at or job.processed_at or job.timestamp)
        return (
            (self.name is None or fnmatchcase(job.name, self.name))
            and (self.error is None or fnmatchcase(job.failed_reason or "", self.error))
            and (self.since_ms is None or age_ms <= self.since_ms)
            and (self.older_ms is None or age_ms >= self.older_ms)
            and (self.running_ms is None or now_ms - (job.processed_at or now_ms) >= self.running_ms)
        )


def walk(
    keys: Keys,
    selection: Selection,
    visit: Callable[[list[JobRecord], int], Steps[int | None]],
    *,
    now_ms: int,
    states: Sequence[State] | None = None,
    newest_finished_first: bool = False,
    field_max: Callable[[], int] = lambda: 0,
) -> Steps[None]:
    """Walk over the jobs that are there now, a page at a time; those that come meanwhile are not waited for.

    `visit` is given those of a page that passed, and how many the page had; it tells how many of them left their state,
    or None to see no more.
    Payloads of more than `field_max()` bytes are not read: what a walk chooses by is short.
    A retried job that fails again at once returns behind all others: the walk ends after as many as there were.
    """
    [facts] = yield [queue_facts(keys)]
    for state in states or selection.states():
        asc = not (newest_finished_first and state in (State.COMPLETED, State.FAILED))
        left, start = facts.counts[state], 0
        while left > 0:
            size = min(PAGE, left)
            [listed] = yield [list_jobs(keys, state, start, start + size - 1, asc=asc, field_max=field_max())]
            if not listed:
                break
            jobs = [job for job in listed if not isinstance(job, str) and selection.takes(job, now_ms)]
            removed = yield from visit(jobs, len(listed))
            if removed is None:
                return
            left -= len(listed)
            start += len(listed) - removed
