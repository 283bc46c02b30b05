"""A job whose time, its `kill_after` included, is over: its worker is killed, then its attempt fails as timed out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty
from jobd.daemon.duties.on_failed_calls import ended_job
from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_spec import numbers_of
from jobd.duration import format_duration
from jobd.engine.admin import CANCELLED
from jobd.engine.job import TurnRequest
from jobd.engine.locks import adopt_jobs
from jobd.engine.outcome_policy import Policy, after_failure, read_opts
from jobd.engine.states import Outcome
from jobd.engine.turn import turn
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from jobd.clock import Clock
    from jobd.config.model import Queue
    from jobd.daemon.processes.fleet import Fleet, Loss
    from jobd.engine.job import Finish, Taken
    from jobd.engine.keys import Keys
    from jobd.engine.runner import AsyncRunner
    from jobd.protocol.board import SlotView
    from jobd.protocol.worker import JobEnded

log = event_log(__name__)

SHORTEST_S = 0.01
"""The shortest pause, however short the file's times are."""


class Deadlines(Duty):
    """The worker cancels at the deadline; this is for a handler that does not let go (C code, a blocked read).

    A job that starts right after a look is not overdue before its `timeout` and `kill_after` have passed: so long, or
    until the next of those that run is overdue, nobody looks. Cancelled ones have a timer of their own (renew.py).
    """

    name = "deadlines"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    async def run_once(self) -> float:
        """Kill the workers with an overdue job; that job fails its attempt, its neighbours go back uncounted."""
        now = self._fleet.clock.monotonic()
        pause = NOTHING_DUE_S
        for pool, worker in list(self._fleet.workers()):
            if worker.board is None or not worker.is_up:
                continue
            pause = min(pause, shortest_run_s(pool.queue))
            if not worker.board.busy:
                continue
            limited = [view for view in worker.slots() if view.state is SlotState.RUNNING and view.kill_at > 0]
            overdue = [view for view in limited if view.kill_at <= now]
            pause = min([pause, *(view.kill_at - now for view in limited if view.kill_at > now)])
            if overdue:
                ids = [view.job_id or view.name for view in overdue]
                log.warning("job outlives its timeout, worker killed", queue=pool.name, pid=worker.pid, jobs=ids)
                worker.overdue = overdue
                worker.kill(Ending.TIMED_OUT, "a job ran over its timeout")
        return max(SHORTEST_S, pause)


def shortest_run_s(queue: Queue) -> float:
    """Return after how many seconds at the earliest a job of this queue is overdue; infinite: none ever is."""
    timeouts = [queue.timeout_ms, *(job.timeout_ms for job in queue.jobs.values())]
    return min(((known + queue.kill_after_ms) / 1000 for known in timeouts if known), default=math.inf)


async def fail_overdue(runner: AsyncRunner, keys: Keys, loss: Loss, clock: Clock) -> list[JobEnded]:
    """Let the jobs that the worker was killed for end as timed out, a retry due by their own backoff; or as cancelled.

    Safe twice: a job that is settled is not under the worker's token prefix any more.

    Returns:
        Those that failed for good.
    Raises:
        RedisUnavailable, RedisRefused: nothing, or not everything, was done.
    """
    held = await runner.run(adopt_jobs(keys, loss.token_prefix, ()))
    overdue = {f"{loss.token_prefix}{view.ats}": view for view in loss.worker.overdue}
    over = [taken for taken in held if taken.token in overdue and overdue[taken.token].job_id in (taken.id, None)]
    finishes = [_finish(taken, loss.pool.queue, overdue[taken.token]) for taken in over]
    if not finishes:
        return []
    request = TurnRequest(
        now_ms=clock.now_ms(),
        lock_ms=loss.pool.queue.lock_duration_ms,
        token_prefix=loss.token_prefix,
        worker_name="",
        finishes=finishes,
        per_key=numbers_of(loss.pool.queue).per_key,
    )
    await runner.run(turn(keys, request))
    failed = []
    for taken, finish in zip(over, finishes, strict=True):
        cancelled = finish.value.startswith(CANCELLED.encode())
        told = "job cancelled" if cancelled else "job timed out"
        log.warning(told, queue=keys.queue, job=finish.job_id, outcome=finish.outcome.name.lower())
        if finish.outcome is Outcome.FAILED:
            reason = finish.value.decode("utf-8", "replace")
            failed.append(ended_job(taken, "cancelled" if cancelled else "timed-out", reason))
    return failed


def _finish(taken: Taken, queue: Queue, view: SlotView) -> Finish:
    deferred = taken.deferred_failure
    if deferred is not None and deferred.startswith(CANCELLED):
        reason = f"{deferred}; the handler did not stop and its worker was killed"
        return after_failure(taken, read_opts(taken.opts), policy_of(queue, taken.name), reason, "", cancelled=True)
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
        dead_letter=queue.dead_letters_to,
    )
