"""What a program can do to a queue and its jobs by hand, once for both queues: each gives the steps that do it."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from jobd.clock import SYSTEM_CLOCK
from jobd.duration import to_ms
from jobd.engine.admin import cancel_job, pause_queue, promote_job, remove_job, resume_queue, retry_job
from jobd.engine.bulk import PROMOTE, REMOVE, RETRY, Tally, act_on_chosen, cancelling
from jobd.engine.clearing import CLEANABLE, cleaning, closing, emptying, obliterating
from jobd.engine.codes import Code
from jobd.engine.job_changes import change_delay, change_priority, counts_per_priority, removing_orphans, update_data
from jobd.engine.metrics import metric_head, metric_minutes
from jobd.engine.options import check_priority, encode_data
from jobd.engine.reading import COUNTED, get_state, job_logs, list_jobs, queue_facts
from jobd.engine.runner import Command
from jobd.engine.selection import Selection
from jobd.engine.states import State
from jobd.errors import InputError, NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

    from jobd.engine.bulk import Act
    from jobd.engine.job import JobRecord
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps

_PAGE = 1000
"""Jobs of one round trip of a listing."""


class Chosen(TypedDict, total=False):
    """Which jobs are meant; each that is given must fit. Lengths: texts such as "1h", or seconds.

    `name` and `error` are globs. `since`, `older`: finished (else started, else added) at most, or at least, so long
    ago; `running`: active, and started at least so long ago; `limit`: the first so many.
    """

    state: str | None
    name: str | None
    error: str | None
    since: str | float | None
    older: str | float | None
    running: str | float | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """BullMQ's counters of completed or of failed jobs; `data` has the finished jobs of each minute, newest first."""

    count: int
    data: list[int]
    previous_count: int
    previous_at: int
    """When the newest minute of `data` was written, ms since 1970; 0 for never."""


def selection_of(chosen: Chosen) -> Selection:
    """Return the filters as a selection. Raises InputError for one that is unknown or cannot be."""
    unknown = sorted(set(chosen) - set(Chosen.__annotations__))
    if unknown:
        raise InputError(f"{unknown[0]}: no such filter; known are {', '.join(Chosen.__annotations__)}")

    def length(name: str) -> int | None:
        value = chosen.get(name)
        return None if value is None else to_ms(value)

    return Selection.of(
        state=chosen.get("state"), name=chosen.get("name"), error=chosen.get("error"), since_ms=length("since"),
        older_ms=length("older"), running_ms=length("running"), limit=chosen.get("limit"),
    )  # fmt: skip


def empty(keys: Keys, *, delayed: bool) -> Steps[int]:
    """Delete what waits to run."""
    [facts] = yield [queue_facts(keys)]
    tally = Tally(keep=0)
    yield from emptying(keys, facts.counts, tally, delayed=delayed)
    return tally.done


def clean(keys: Keys, state: str, older: str | float, limit: int | None) -> Steps[list[str]]:
    """Delete the oldest jobs of one state."""
    if state not in CLEANABLE:
        raise InputError(f'state: cannot clean "{state}"; it is one of {", ".join(CLEANABLE)}')
    before_ms = SYSTEM_CLOCK.now_ms() - to_ms(older)
    [facts] = yield [queue_facts(keys)]
    tally = Tally(keep=2**63)
    yield from cleaning(keys, State(state), facts.counts, tally, before_ms=before_ms, limit=limit)
    return tally.ids


def obliterate(keys: Keys, *, force: bool) -> Steps[int]:
    """Delete the queue."""
    yield from closing(keys, who=me(), now_ms=SYSTEM_CLOCK.now_ms(), force=force)
    tally = Tally(keep=0)
    yield from obliterating(keys, tally)
    return tally.done


def pause(keys: Keys, reason: str | None) -> Steps[None]:
    """Pause the queue for every worker."""
    yield [pause_queue(keys, who=me(), why=reason, now_ms=SYSTEM_CLOCK.now_ms())]


def resume(keys: Keys) -> Steps[None]:
    """Undo pause."""
    left = 1
    while left:
        [(_, left)] = yield [resume_queue(keys)]


def retry(keys: Keys, job_id: str) -> Steps[None]:
    """Let one finished job run again."""
    return _one(job_id, retry_job(keys, job_id), "has not finished")


def promote(keys: Keys, job_id: str) -> Steps[None]:
    """Let one delayed job run now."""
    return _one(job_id, promote_job(keys, job_id), "is not delayed")


def change_job_delay(keys: Keys, job_id: str, delay: str | float) -> Steps[None]:
    """Let one delayed job be due at another time."""
    command = change_delay(keys, job_id, delay_ms=to_ms(delay), now_ms=SYSTEM_CLOCK.now_ms())
    return _one(job_id, command, "is not delayed")


def change_job_priority(keys: Keys, job_id: str, priority: int, *, lifo: bool) -> Steps[None]:
    """Give one job another priority."""
    check_priority(priority)
    return _one(job_id, change_priority(keys, job_id, priority=priority, lifo=lifo), "")


def update_job_data(keys: Keys, job_id: str, data: Any) -> Steps[None]:
    """Replace the data of one job."""
    [[code]] = yield [update_data(keys, job_id, encode_data(data))]
    _check(job_id, code, "")


def remove(keys: Keys, job_id: str, *, children: bool) -> Steps[None]:
    """Delete one job."""
    [code] = yield [remove_job(keys, job_id, children=children)]
    if code == 0:
        raise Refused("job-locked", f'cannot remove job "{job_id}": a worker runs it, or a child of it')
    _check(job_id, 0 if code == 1 else code, "")


def cancel(keys: Keys, job_id: str) -> Steps[bool]:
    """Let one job run no more; whether it runs still."""
    [code] = yield [cancel_job(keys, job_id, who=me(), now_ms=SYSTEM_CLOCK.now_ms())]
    _check(job_id, 0 if code == 1 else code, "has finished")
    return bool(code == 1)


def retry_all(keys: Keys, **chosen: Unpack[Chosen]) -> Steps[int]:
    """Let finished jobs run again."""
    return _all(keys, RETRY, chosen)


def promote_all(keys: Keys, **chosen: Unpack[Chosen]) -> Steps[int]:
    """Let delayed jobs run now."""
    return _all(keys, PROMOTE, chosen)


def remove_all(keys: Keys, **chosen: Unpack[Chosen]) -> Steps[int]:
    """Delete jobs."""
    return _all(keys, REMOVE, chosen)


def cancel_all(keys: Keys, **chosen: Unpack[Chosen]) -> Steps[int]:
    """Let jobs run no more."""
    return _all(keys, cancelling(me(), SYSTEM_CLOCK.now_ms()), chosen)


def jobs(keys: Keys, states: Sequence[str], start: int, stop: int, *, asc: bool | None) -> Steps[list[JobRecord]]:
    """Read jobs of these states, one after another, each in BullMQ's order."""
    known = [state.value for state in COUNTED]
    wrong = [state for state in states if state not in known]
    if wrong:
        raise InputError(f'no such state: "{wrong[0]}"; known are {", ".join(known)}')
    if start < 0 or stop < start:
        raise InputError(f"expected 0 <= start <= stop, got {start} and {stop}")
    found: list[JobRecord] = []
    for state in [State(word) for word in states or known]:
        oldest_first = state not in (State.COMPLETED, State.FAILED) if asc is None else asc
        for first in range(start, stop + 1, _PAGE):
            last = min(stop, first + _PAGE - 1)
            [listed] = yield [list_jobs(keys, state, first, last, asc=oldest_first)]
            found += [job for job in listed if not isinstance(job, str)]
            if len(listed) < last - first + 1:
                break
    return found


def state_of(keys: Keys, job_id: str) -> Steps[str]:
    """Read where a job is."""
    [state] = yield [get_state(keys, job_id)]
    return str(state.value)


def logs(keys: Keys, job_id: str, start: int, stop: int) -> Steps[list[str]]:
    """Read log lines."""
    [lines] = yield [job_logs(keys, job_id, start, stop)]
    return list(lines)


def per_priority(keys: Keys, priorities: Iterable[int]) -> Steps[dict[int, int]]:
    """Count what waits, by priority."""
    wanted = list(dict.fromkeys(priorities))
    counts = yield [counts_per_priority(keys, priority) for priority in wanted]
    return dict(zip(wanted, counts, strict=True))


def metrics(keys: Keys, kind: str, start: int, stop: int) -> Steps[Metrics]:
    """Read BullMQ's counters."""
    if kind not in ("completed", "failed"):
        raise InputError(f'kind: expected completed or failed, got "{kind}"')
    head, data = yield [metric_head(keys, kind), metric_minutes(keys, kind, start, stop)]
    return Metrics(head.count, data, head.before, head.at) if head else Metrics(0, data, 0, 0)


def remove_orphans(keys: Keys) -> Steps[int]:
    """Delete jobs that are in no state any more, and what is left of jobs that are gone."""
    tally = Tally(keep=0)
    yield from removing_orphans(keys, tally)
    return tally.done


def me() -> str:
    """Return the name of the user that runs this program."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def _one(job_id: str, command: Command[int], wrong_state: str) -> Steps[None]:
    [code] = yield [command]
    _check(job_id, code, wrong_state)


def _check(job_id: str, code: int, wrong_state: str) -> None:
    if code == Code.MISSING_JOB:
        raise NotThere("job", job_id)
    if code == Code.WRONG_STATE:
        raise Refused("job-state", f'job "{job_id}" {wrong_state}')
    if code == Code.SCHEDULER_JOB:
        raise Refused("job-of-scheduler", f'job "{job_id}" is the next one of a schedule: change or remove that')


def _all(keys: Keys, act: Act, chosen: Chosen) -> Steps[int]:
    tally = Tally(keep=0)
    yield from act_on_chosen(keys, act, selection_of(chosen), tally, now_ms=SYSTEM_CLOCK.now_ms())
    return tally.done
