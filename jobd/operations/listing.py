"""One page of a listing: from where the last one ended, and no further than it takes to fill it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.keys import Keys
from jobd.engine.reading import list_jobs
from jobd.engine.selection import PAGE
from jobd.engine.states import State
from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.engine.job import JobRecord
    from jobd.engine.selection import Selection
    from jobd.operations.operation import Place

PAGE_JOBS = 50
"""Jobs on a page without a limit of its own."""

_LIMIT_MAX = 1000
_FIELD_MAX = 2 * 1024
"""Bytes of each payload on a page: what a list can show, and what may be looked through a thousand times."""

_LOOK_AT_LEAST = 1_000
_LOOK_S = 0.1
"""Filters are tried on at least so many jobs, then on more for so long: a page over a million jobs must answer."""


@dataclass(slots=True)
class Page:
    """What a page holds. `next` is what the following one is asked for with, None behind the last."""

    jobs: list[JobRecord] = field(default_factory=list)
    looked: int = 0
    next: str | None = None


async def page_of(place: Place, queue: str, wanted: Selection, *, after: str, counts: Mapping[str, int]) -> Page:
    """Return one page of the jobs that pass. `after` is "" or the `next` of another page, `counts` those of the queue.

    Jobs that come or go between two pages shift the next one, as in every listing by rank.

    Raises:
        InputError: `after` is not of a page of these states.
    """
    states = wanted.states()
    state, start = _position(after, states)
    limit = min(wanted.limit or PAGE_JOBS, _LIMIT_MAX)
    keys, now_ms, end = Keys(place.prefix, queue), SYSTEM_CLOCK.now_ms(), time.monotonic() + _LOOK_S
    page = Page()
    picky = any(
        part is not None for part in (wanted.name, wanted.error, wanted.since_ms, wanted.older_ms, wanted.running_ms)
    )
    for current in states[states.index(state) :]:
        asc = current not in (State.COMPLETED, State.FAILED)
        while start < counts[current]:
            size = PAGE if picky else min(PAGE, limit - len(page.jobs))
            listed = await place.runner.run(
                list_jobs(keys, current, start, start + size - 1, asc=asc, field_max=_FIELD_MAX)
            )
            for job in listed:
                start, page.looked = start + 1, page.looked + 1
                if not isinstance(job, str) and wanted.takes(job, now_ms):
                    page.jobs.append(job)
                if len(page.jobs) == limit:
                    break
            full = len(page.jobs) == limit or (page.looked >= _LOOK_AT_LEAST and time.monotonic() > end)
            if full or not listed:
                break
        if len(page.jobs) == limit or page.looked >= _LOOK_AT_LEAST:
            page.next = _next(current, start, states, counts)
            break
        start = 0
    return page


def _position(after: str, states: tuple[State, ...]) -> tuple[State, int]:
    if not after:
        return states[0], 0
    name, _, rank = after.partition(":")
    if name not in states or not rank.isdecimal() or len(rank) > 15:
        raise InputError(f'after: expected the "next" of a page of these jobs, got "{after}"')
    return State(name), int(rank)


def _next(state: State, start: int, states: tuple[State, ...], counts: Mapping[str, int]) -> str | None:
    """Return where the page after this one begins."""
    if start < counts[state]:
        return f"{state}:{start}"
    rest = states[states.index(state) + 1 :]
    return next((f"{later}:0" for later in rest if counts[later]), None)
