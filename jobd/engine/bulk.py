"""One act on many jobs, chosen by ids or by a selection: a page at a time, each job atomic by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobd.engine.codes import Code
from jobd.engine.options import is_own_key
from jobd.engine.reading import get_state
from jobd.engine.selection import PAGE, Selection, walk
from jobd.engine.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobd.engine.job import JobRecord
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command, Steps


@dataclass(slots=True)
class Tally:
    """What came of it so far.

    `gone` counts jobs that had left before their turn came (or do not exist: `missing`, or must stay); `ids` are the
    first `keep` of those done; `stayed` of those done did not leave their state.
    """

    keep: int = 1000
    done: int = 0
    stayed: int = 0
    gone: int = 0
    missing: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, ids: Sequence[str]) -> None:
        """Count jobs as done."""
        self.done += len(ids)
        self.ids += ids[: max(0, self.keep - len(self.ids))]


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to one job; `good` are the codes of success, `stays` those of them where it did not move."""

    command: Callable[[Keys, str], Command[int]]
    good: frozenset[int] = frozenset({0})
    stays: frozenset[int] = frozenset()


def act_on_ids(keys: Keys, act: Act, ids: Sequence[str], tally: Tally, *, dry_run: bool = False) -> Steps[None]:
    """Do it to the jobs with these ids; with `dry_run` only count those that are there."""
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), PAGE):
        part = unique[start : start + PAGE]
        jobs = [job_id for job_id in part if not is_own_key(job_id)]
        if dry_run:
            states = yield [get_state(keys, job_id) for job_id in jobs]
            jobs = [job_id for job_id, state in zip(jobs, states, strict=True) if state is not State.UNKNOWN]
        tally.gone += len(part) - len(jobs)
        tally.missing += len(part) - len(jobs)
        yield from _page(keys, act, jobs, tally, dry_run=dry_run)


def act_on_chosen(
    keys: Keys,
    act: Act,
    selection: Selection,
    states: Sequence[State],
    tally: Tally,
    *,
    now_ms: int,
    dry_run: bool = False,
) -> Steps[None]:
    """Do it to the jobs that the selection takes, in `states` unless it names its own."""

    def visit(jobs: list[JobRecord]) -> Steps[int | None]:
        left = None if selection.limit is None else selection.limit - tally.done - tally.gone
        part = [job.id for job in jobs][:left]
        removed = yield from _page(keys, act, part, tally, dry_run=dry_run)
        return None if left is not None and left <= len(part) else removed

    own = selection.states() if selection.state else states
    yield from walk(keys, selection, visit, now_ms=now_ms, states=own)


def _page(keys: Keys, act: Act, ids: Sequence[str], tally: Tally, *, dry_run: bool) -> Steps[int]:
    """Act on one page in one round trip; returns how many left their state."""
    if dry_run or not ids:
        tally.add(ids)
        return 0
    codes = yield [act.command(keys, job_id) for job_id in ids]
    tally.add([job_id for job_id, code in zip(ids, codes, strict=True) if code in act.good])
    tally.gone += sum(code not in act.good for code in codes)
    tally.missing += codes.count(Code.MISSING_JOB)
    stayed = sum(code in act.stays for code in codes)
    tally.stayed += stayed
    return sum(code in act.good for code in codes) - stayed
