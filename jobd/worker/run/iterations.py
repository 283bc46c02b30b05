"""Jobs of schedulers: before one of them runs, whoever took it has the next one made.

A worker that dies between the take and this leaves a job that is taken again; its next taker makes the iteration then.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from jobd.engine.job import KEEP_ALL, Finish
from jobd.engine.outcome_policy import after_failure, after_success
from jobd.engine.schedulers import slot_of
from jobd.engine.states import Outcome
from jobd.engine.trouble import Trouble
from jobd.errors import InputError, RedisRefused, RedisUnavailable
from jobd.worker import internal_errors
from jobd.worker.run.attempt import Interruption
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.iterations import Iteration
    from jobd.engine.job import Taken
    from jobd.worker.run.attempt import Attempt

AGAIN_S = 0.5
"""Redis is asked again this often: without the next iteration the schedule would end with this job."""

LATE_MS = 60_000
"""With `catch_up = "none"` a run that begins later than this was missed: nobody took it when it was due."""

LONGEST_TURN_MS = 30_000
"""A run that waits for the one before it looks again at least this often."""


class Makes(Protocol):
    """A queue's connection."""

    async def next_iteration(self, taken: Taken, *, now_ms: int, chance: float) -> Iteration:
        """Make the iteration after a taken one."""


class Iterations:
    """Makes next iterations. `go(attempt)` is called on the loop when that is done; `attempt.finish` ends it unrun."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Callable[[], Makes], go: Callable[[Attempt], None]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._go = go

    def start(self, attempt: Attempt) -> None:
        """Have the iteration after this one made, then go on with it."""
        internal_errors.run(self._loop, self._serve(attempt))

    async def _serve(self, attempt: Attempt) -> None:
        taken = attempt.taken
        try:
            iteration = await self._made(attempt)
        except (InputError, RedisRefused) as error:
            reason = f'cannot plan the next run of schedule "{taken.scheduler_id}": {error}'
            log.warning("job %s: %s", taken.id, reason)
            attempt.finish = after_failure(taken, attempt.options, attempt.policy.outcome, reason, "", final=True)
            attempt.finish.keep = KEEP_ALL  # a retry makes the next run, once the cause is gone
        else:
            if iteration is not None:
                attempt.finish = _instead(attempt, iteration, _now_ms())
        self._go(attempt)

    async def _made(self, attempt: Attempt) -> Iteration | None:
        """Return what was made; None when the attempt is interrupted before Redis answers."""
        while attempt.interruption is Interruption.NONE:
            try:
                # S311: nothing hangs on whether somebody can guess a jitter
                return await self._connection().next_iteration(
                    attempt.taken, now_ms=_now_ms(), chance=random.random()  # noqa: S311
                )  # fmt: skip
            except RedisUnavailable:
                pass
            except RedisRefused as error:
                if error.trouble in (Trouble.OTHER, Trouble.WRONG_TYPE):
                    raise  # asked again it would say the same, and the job would hold its slot for ever
            await asyncio.sleep(AGAIN_S)
        return None


def _instead(attempt: Attempt, iteration: Iteration, now_ms: int) -> Finish | None:
    """Return how a run ends that its schedule's policies do not allow now; None when it may begin."""
    taken, policies = attempt.taken, iteration.policies
    slot = slot_of(taken.id)
    if policies.catch_up == "none" and taken.attempts_started == 1 and slot is not None:
        late_ms = now_ms - slot - policies.jitter_ms
        if late_ms > LATE_MS:
            return _left_out(attempt, f"due at {_written(slot)}, {late_ms // 1000} s ago")
    if iteration.other is None:
        return None
    if policies.overlap == "skip":
        return _left_out(attempt, f"{iteration.other} is not through")
    waited_ms = now_ms - (slot or now_ms)
    delay_ms = min(LONGEST_TURN_MS, max(1000, waited_ms // 10))
    return Finish(taken.id, taken.token, Outcome.LATER, delay_ms=delay_ms, suspect=taken.suspect)


def _written(moment_ms: int) -> str:
    try:
        return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # an id that nobody's scheduler has made
        return f"{moment_ms} ms"


def _left_out(attempt: Attempt, why: str) -> Finish:
    log.info("run of schedule %s left out: %s", attempt.taken.scheduler_id, why)
    result = json.dumps({"skipped": why}).encode()
    return after_success(attempt.taken, attempt.options, attempt.policy.outcome, result)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
