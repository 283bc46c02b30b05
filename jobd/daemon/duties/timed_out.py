"""Fail the attempt of a job whose worker was killed because the job did not end in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.duration import format_duration
from jobd.engine.job import TurnRequest
from jobd.engine.locks import adopt_jobs
from jobd.engine.outcome_policy import Policy, after_failure, read_opts
from jobd.engine.turn import turn

if TYPE_CHECKING:
    from jobd.clock import Clock
    from jobd.config.model import Queue
    from jobd.daemon.processes.fleet import Loss
    from jobd.engine.job import Finish, Taken
    from jobd.engine.keys import Keys
    from jobd.engine.runner import AsyncRunner
    from jobd.protocol.board import SlotView

log = event_log(__name__)


async def fail_overdue(runner: AsyncRunner, keys: Keys, loss: Loss, clock: Clock) -> None:
    """Let the jobs that the worker was killed for end as timed out; a retry is due by their own backoff.

    Safe twice: a job that is settled is not under the worker's token prefix any more.

    Raises:
        RedisUnavailable, RedisRefused: nothing, or not everything, was done.
    """
    held = await runner.run(adopt_jobs(keys, loss.token_prefix, ()))
    overdue = {f"{loss.token_prefix}{view.ats}": view for view in loss.worker.overdue}
    finishes = [
        _finish(taken, loss.pool.queue, overdue[taken.token])
        for taken in held
        if taken.token in overdue and overdue[taken.token].job_id in (taken.id, None)
    ]
    if not finishes:
        return
    request = TurnRequest(
        now_ms=clock.now_ms(),
        lock_ms=loss.pool.queue.lock_duration_ms,
        token_prefix=loss.token_prefix,
        worker_name="",
        finishes=finishes,
    )
    await runner.run(turn(keys, request))
    for finish in finishes:
        log.warning("job timed out", queue=keys.queue, job=finish.job_id, outcome=finish.outcome.name.lower())


def _finish(taken: Taken, queue: Queue, view: SlotView) -> Finish:
    ran = format_duration((view.deadline_at - view.started_at) * 1000)
    reason = f"timed out after {ran}; the handler did not stop and its worker was killed"
    return after_failure(taken, read_opts(taken.opts), policy_of(queue, taken.name), reason, "")


def policy_of(queue: Queue, name: str | None) -> Policy:
    """Return what the file says about jobs of one name where the job says nothing."""
    own = queue.jobs.get(name or "")
    backoff = (own.backoff if own else None) or queue.backoff
    return Policy(
        attempts=(own.attempts if own else None) or queue.attempts,
        attempts_max=queue.attempts_max,
        backoff=backoff.rule() if backoff else None,
        keep_completed=queue.keep_completed,
        keep_failed=queue.keep_failed,
    )
