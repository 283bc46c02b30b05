"""What lies beside a job's hash: when it is due, how long its lock lives, its children. Nothing here changes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.runner import Command

if TYPE_CHECKING:
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps

_NAMED = 20
"""Children that are told by name."""


@dataclass(frozen=True, slots=True)
class JobDetails:
    """`due_at` (ms) of a delayed job; `lock_ms` is what is left of the lock, None without one.

    `pending`, `failed` are keys of children (`prefix:queue:id`), the first 20; the numbers are of all.
    """

    due_at: int | None
    lock_ms: int | None
    log_lines: int
    pending: list[str]
    pending_count: int
    completed_count: int
    failed: list[str]
    failed_count: int
    handed_back: int
    """How often a stop gave it back unfinished."""


def job_details(keys: Keys, job_id: str) -> Steps[JobDetails]:
    """Read what lies beside a job."""
    job = keys.job(job_id)
    score, lock, lines, pending, pending_count, completed, unsuccessful, unsuccessful_count, ignored, back = yield [
        _plain("ZSCORE", keys.delayed, job_id),
        _plain("PTTL", keys.lock(job_id)),
        _plain("LLEN", keys.logs(job_id)),
        _plain("SRANDMEMBER", f"{job}:dependencies", _NAMED),
        _plain("SCARD", f"{job}:dependencies"),
        _plain("HLEN", f"{job}:processed"),
        _plain("ZRANGE", f"{job}:unsuccessful", 0, _NAMED - 1),
        _plain("ZCARD", f"{job}:unsuccessful"),
        _plain("HKEYS", f"{job}:failed"),
        _plain("HGET", job, "jobdback"),
    ]
    return JobDetails(
        due_at=None if score is None else int(float(score) // 4096),
        lock_ms=lock if lock > 0 else None,
        log_lines=lines,
        pending=_names(pending),
        pending_count=pending_count,
        completed_count=completed,
        failed=_names([*unsuccessful, *ignored])[:_NAMED],
        failed_count=unsuccessful_count + len(ignored),
        handed_back=int(back) if (back or b"").isdigit() else 0,
    )


def _plain(*words: str | int) -> Command[Any]:
    return Command(words, lambda reply: reply)


def _names(raw: list[bytes]) -> list[str]:
    return sorted(each.decode("utf-8", "replace") for each in raw)
