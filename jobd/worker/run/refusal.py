"""Jobs that end without their handler: deferred failures, unknown names, expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from jobd.engine.admin import CANCELLED
from jobd.engine.codes import Code
from jobd.engine.outcome_policy import after_failure, children_refusal
from jobd.engine.states import Outcome
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from jobd.engine.job import Finish
    from jobd.worker.handlers.job_policy import JobPolicies, JobPolicy
    from jobd.worker.run.attempt import Attempt

_LONGEST_MS = 2**53
"""A delay beyond that is no producer's."""

EXPIRED = "expired"
"""The failedReason of a job that came too late to be run."""


def refusal_of(
    attempt: Attempt, policy: JobPolicy | None, policies: JobPolicies, unknown: Literal["fail", "retry"], now_ms: int
) -> Finish | None:
    """Return how a job that must not run ends, None when it may; `policy` is None when nobody handles its name."""
    taken = attempt.taken
    if taken.deferred_failure is not None:
        return _deferred(attempt, taken.deferred_failure)
    if taken.name is None:
        return _for_good(attempt, "the job has no name: its hash is incomplete")
    if policy is None:
        known = ", ".join(sorted(policies.by_name)) or "none"
        reason = f'no handler for job name "{taken.name}"; known names: {known}'
        return after_failure(taken, attempt.options, attempt.policy.outcome, reason, "", final=unknown == "fail")
    if policy.expire_ms is not None and taken.attempts_made == 0 and now_ms - first_due(attempt) > policy.expire_ms:
        return _for_good(attempt, EXPIRED)
    return None


def refused(attempts: list[Attempt], codes: list[int]) -> list[Attempt]:
    """Return the runs that must end otherwise: completions refused because of their children, as failures now.

    Their locks are still ours. What was refused for another reason is told and over: the attempt is not ours any more.
    """
    again = []
    for attempt, code in zip(attempts, codes, strict=True):
        if code in (Code.PENDING_CHILDREN, Code.FAILED_CHILDREN):
            finish = attempt.finish
            why = children_refusal(attempt.taken.id, code, finish.outcome if finish else Outcome.COMPLETED)
            # Pending children may be done at the next try; a failed one stays.
            attempt.finish = after_failure(
                attempt.taken, attempt.options, attempt.policy.outcome, why, "", final=code == Code.FAILED_CHILDREN
            )
            again.append(attempt)
        elif code:
            log.warning("finish refused: job %s, code %d", attempt.taken.id, code)
    return again


def first_due(attempt: Attempt) -> int:
    """Return when a job was to start first, in milliseconds since 1970."""
    if b'"delay"' not in (attempt.taken.opts or b""):  # reading the options costs more than most jobs
        return attempt.taken.timestamp + attempt.taken.delay_ms
    # The hash's own `delay` is 0 again once the job was promoted; the producer's wish stays in the options.
    delay = attempt.job.opts.get("delay")
    if isinstance(delay, int) and abs(delay) < _LONGEST_MS:
        return attempt.taken.timestamp + delay
    return attempt.taken.timestamp + attempt.taken.delay_ms


def _deferred(attempt: Attempt, reason: str) -> Finish:
    cancelled = reason.startswith(CANCELLED)
    return after_failure(
        attempt.taken, attempt.options, attempt.policy.outcome, reason, "", final=True, cancelled=cancelled
    )


def _for_good(attempt: Attempt, reason: str) -> Finish:
    return after_failure(attempt.taken, attempt.options, attempt.policy.outcome, reason, "", final=True)
