"""Jobs that end without their handler: deferred failures, unknown names, expired, of a sort for a later version."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from jobd.engine.codes import Code
from jobd.engine.job import KEEP_ALL, Finish
from jobd.engine.outcome_policy import after_failure

if TYPE_CHECKING:
    from jobd.worker.handlers.policy import Plan, Plans
    from jobd.worker.run.attempt import Run

log = logging.getLogger("jobd.worker")

LATER_VERSION = "jobd: flow and scheduler jobs need a later version"


def refusal_of(
    run: Run, plan: Plan | None, plans: Plans, unknown: Literal["fail", "retry"], now_ms: int
) -> Finish | None:
    """Return how a job that must not run ends, None when it may; `plan` is None when nobody handles its name."""
    taken = run.taken
    if taken.deferred_failure is not None:
        return _for_good(run, taken.deferred_failure)
    if taken.parent_key is not None or taken.scheduler_id is not None:
        # Kept whatever the job says: nothing was done, and a later version can run it after a retry.
        finish = _for_good(run, LATER_VERSION)
        finish.keep = KEEP_ALL
        return finish
    if taken.name is None:
        return _for_good(run, "the job has no name: its hash is incomplete")
    if plan is None:
        known = ", ".join(sorted(plans.by_name)) or "none"
        reason = f'no handler for job name "{taken.name}"; known names: {known}'
        return after_failure(taken, run.options, run.plan.policy, reason, "", final=unknown == "fail")
    if plan.expire_ms is not None and taken.attempts_made == 0 and now_ms - _first_due(run) > plan.expire_ms:
        return _for_good(run, "expired")
    return None


def refused(runs: list[Run], codes: list[int]) -> list[Run]:
    """Return the runs that must end otherwise: completions refused because of their children, as failures now.

    Their locks are still ours. What was refused for another reason is told and over: the attempt is not ours any more.
    """
    again = []
    for run, code in zip(runs, codes, strict=True):
        if code in (Code.PENDING_CHILDREN, Code.FAILED_CHILDREN):
            why = "children are still pending" if code == Code.PENDING_CHILDREN else "a child failed"
            run.finish = _for_good(run, f"cannot complete: {why}")
            again.append(run)
        elif code:
            log.warning("finish refused: job %s, code %d", run.taken.id, code)
    return again


def _first_due(run: Run) -> int:
    # The hash's own `delay` is 0 again once the job was promoted; the producer's wish stays in the options.
    delay = run.job.opts.get("delay")
    return run.taken.timestamp + (delay if isinstance(delay, int) else run.taken.delay_ms)


def _for_good(run: Run, reason: str) -> Finish:
    return after_failure(run.taken, run.options, run.plan.policy, reason, "", final=True)
