"""One act on many jobs, chosen by ids or by a selection: a page at a time, each job atomic by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from jobd.engine.admin import cancel_job, promote_job, remove_job, retry_job
from jobd.engine.codes import Code
from jobd.engine.options import is_own_key
from jobd.engine.reading import COUNTED, get_state
from jobd.engine.selection import PAGE, Selection, walk
from jobd.engine.states import State
from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobd.engine.job import JobRecord
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command, Steps


@dataclass(slots=True)
class Tally:
    """What came of it so far.

    `gone` counts jobs that had left before their turn came (or do not exist: `missing`, or must stay); `ids` are the
    first `keep` of those done; `running` of those done are active still; `skipped` did not fit the selection.
    """

    keep: int = 1000
    done: int = 0
    running: int = 0
    gone: int = 0
    missing: int = 0
    skipped: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, ids: Sequence[str]) -> None:
        """Count jobs as done."""
        self.done += len(ids)
        self.ids += ids[: max(0, self.keep - len(self.ids))]


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to one job, to which jobs, and what the codes of its command mean.

    `states`: where its jobs are when nothing else is said; `allowed`: where they may be, told as `takes` ("only failed
    and completed jobs can be retried"). `good`: it took effect; `running`: those of them where the job is active and
    stays so; `remains`: it did not, and the job is where it was.
    """

    command: Callable[[Keys, str], Command[int]]
    states: Sequence[State]
    allowed: Sequence[State]
    takes: str = ""
    good: frozenset[int] = frozenset({0})
    running: frozenset[int] = frozenset()
    remains: frozenset[int] = frozenset()

    def check(self, selection: Selection) -> None:
        """Raise InputError when it cannot be done to jobs of the selection's state."""
        if selection.state is not None and selection.state not in self.allowed:
            raise InputError(f'only {self.takes}, not "{selection.state}"')

    def states_of(self, selection: Selection) -> Sequence[State]:
        """Return where the selection's jobs are looked for: in its own state, else in `states`."""
        return self.states if selection.state is None else (selection.state,)


RETRY = Act(
    retry_job, [State.FAILED], [State.FAILED, State.COMPLETED], takes="failed and completed jobs can be retried"
)
PROMOTE = Act(promote_job, [State.DELAYED], [State.DELAYED], takes="delayed jobs can be promoted")
REMOVE = Act(
    remove_job, [state for state in COUNTED if state is not State.ACTIVE], COUNTED,
    good=frozenset({1}), remains=frozenset({0, Code.SCHEDULER_JOB}),
)  # fmt: skip

_OPEN = [state for state in COUNTED if state not in (State.COMPLETED, State.FAILED)]


def cancelling(who: str, now_ms: int) -> Act:
    """Return the act that lets jobs run no more, told as done by `who`."""
    return Act(
        partial(cancel_job, who=who, now_ms=now_ms), _OPEN, _OPEN, takes="jobs that have not ended can be cancelled",
        good=frozenset({0, 1}), running=frozenset({1}), remains=frozenset({Code.SCHEDULER_JOB}),
    )  # fmt: skip


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
    keys: Keys, act: Act, selection: Selection, tally: Tally, *, now_ms: int, dry_run: bool = False
) -> Steps[None]:
    """Do it to the jobs that the selection takes.

    Raises:
        InputError: it cannot be done to jobs of the selection's state.
    """
    act.check(selection)

    def visit(jobs: list[JobRecord], listed: int) -> Steps[int | None]:
        tally.skipped += listed - len(jobs)
        left = None if selection.limit is None else selection.limit - tally.done - tally.gone
        part = jobs[:left]
        codes = yield from _page(keys, act, [job.id for job in part], tally, dry_run=dry_run)
        if left is not None and left <= len(part):
            return None
        # What left between the look and the act has moved the others up, too.
        still = {*act.remains, *(act.running if part and part[0].state is State.ACTIVE else ())}
        return sum(code not in still for code in codes)

    yield from walk(keys, selection, visit, now_ms=now_ms, states=act.states_of(selection))


def _page(keys: Keys, act: Act, ids: Sequence[str], tally: Tally, *, dry_run: bool) -> Steps[list[int]]:
    """Act on one page in one round trip; returns the codes, none when nothing was done."""
    if dry_run or not ids:
        tally.add(ids)
        return []
    codes: list[int] = yield [act.command(keys, job_id) for job_id in ids]
    tally.add([job_id for job_id, code in zip(ids, codes, strict=True) if code in act.good])
    tally.running += sum(code in act.running for code in codes)
    tally.gone += sum(code not in act.good for code in codes)
    tally.missing += codes.count(Code.MISSING_JOB)
    return codes
