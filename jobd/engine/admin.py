"""Change a queue or its jobs by hand: pause, resume, retry, promote, remove, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine.codes import Code
from jobd.engine.options import is_own_key
from jobd.engine.runner import Command
from jobd.engine.scripts import script

if TYPE_CHECKING:
    from jobd.engine.job import Keep
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Word

LEGACY_BATCH = 7000
"""Ids of BullMQ 5's `paused` list that one resume moves; BullMQ's own number."""


def pause_queue(keys: Keys, *, who: str, why: str | None, now_ms: int) -> Command[bool]:
    """Pause the queue for every worker everywhere; False when it was paused already (who and why are then replaced)."""
    words = (
        5, keys.meta, keys.marker, keys.events, keys.wait, keys.legacy_paused,
        keys.base, who, now_ms, why or "",
    )  # fmt: skip
    return Command(words, bool, script("pause_queue"))


def resume_queue(keys: Keys) -> Command[tuple[bool, int]]:
    """Let workers take jobs again. Returns (it was paused, ids of BullMQ 5 still to be moved: call again until 0)."""
    words = (5, keys.meta, keys.legacy_paused, keys.wait, keys.prioritized, keys.events, keys.base, LEGACY_BATCH)
    return Command(words, lambda reply: (reply[0] == 1, reply[1]), script("resume_queue"))


def retry_job(keys: Keys, job_id: str) -> Command[int]:
    """Let a failed or completed job wait again. Returns 0, MISSING_JOB or WRONG_STATE (codes.Code)."""
    words = (5, keys.job(job_id), keys.failed, keys.completed, keys.meta, keys.events, keys.base, job_id)
    return about_job(job_id, words, "retry_job")


CANCELLED = "cancelled by "
"""How the reason of a cancelled job begins, in Redis (lua/renew_locks.lua) and wherever it is read."""


def cancel_job(keys: Keys, job_id: str, *, who: str, now_ms: int) -> Command[int]:
    """Let a job run no more. Returns 0 when it waited and has failed, 1 when it runs and is marked.

    Else MISSING_JOB, WRONG_STATE (it has ended) or SCHEDULER_JOB (codes.Code).
    """
    words = (
        4, keys.job(job_id), keys.meta, keys.active, keys.events,
        keys.base, job_id, now_ms, f"{CANCELLED}{who}".encode("utf-8", "backslashreplace"),
    )  # fmt: skip
    return about_job(job_id, words, "cancel_job")


def promote_job(keys: Keys, job_id: str) -> Command[int]:
    """Let a delayed job wait to run now. Returns 0, MISSING_JOB or WRONG_STATE (codes.Code)."""
    words = (4, keys.job(job_id), keys.delayed, keys.meta, keys.events, keys.base, job_id)
    return about_job(job_id, words, "promote_job")


def remove_job(keys: Keys, job_id: str, *, children: bool = True) -> Command[int]:
    """Remove a job, and with `children` those below it. Returns 1, 0 when a worker runs it or a pending child of it.

    Else MISSING_JOB or SCHEDULER_JOB (codes.Code).
    """
    words = (2, keys.job(job_id), keys.lock(job_id), keys.base, job_id, int(children))
    return about_job(job_id, words, "remove_job")


def about_job(job_id: str, words: tuple[Word, ...], name: str) -> Command[int]:
    """Return the command of a script that changes one job; where the id is the name of a key of the queue it is no job,
    and nothing is touched.
    """
    if is_own_key(job_id):
        return Command(("ECHO", ""), lambda _: int(Code.MISSING_JOB))
    return Command(words, int, script(name))


def set_global_concurrency(keys: Keys, limit: int | None) -> Command[int]:
    """Set how many jobs of the queue may be active anywhere (BullMQ's global concurrency); None lifts the limit."""
    words = ("HDEL", keys.meta, "concurrency") if limit is None else ("HSET", keys.meta, "concurrency", limit)
    return Command(words, int)


def trim_history(keys: Keys, where: str, keep: Keep, *, now_ms: int) -> Command[int]:
    """Bring `keys.completed` or `keys.failed` down to this rule, 1000 jobs at most; returns how many are gone."""
    count, age_s = ("" if bound is None else bound for bound in (keep.count, keep.age_s))
    return Command((1, where, keys.base, now_ms, count, age_s), int, script("trim_history"))


def probe_writes(keys: Keys) -> Command[None]:
    """Change nothing, by a command that Redis refuses whenever it refuses writes: out of memory, a replica, no disk.

    SETRANGE with an empty value creates no key (redis.io/commands/setrange).
    """
    return Command(("SETRANGE", keys.probe, 0, ""), lambda reply: None)


def global_concurrency(keys: Keys) -> Command[int | None]:
    """Return the queue's global concurrency; None when there is no limit, or none that is a number."""
    return Command(("HGET", keys.meta, "concurrency"), _whole)


def _whole(reply: bytes | None) -> int | None:
    try:
        return int(reply or b"")
    except ValueError:
        return None
