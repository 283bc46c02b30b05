"""How a run counts: one end each, the one that says most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine.states import Outcome
from jobd.protocol.counts import RunEnd
from jobd.worker.run.attempt import Attempt, Interruption
from jobd.worker.run.refusal import EXPIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.job import Finish

_EXPIRED = EXPIRED.encode()


def end_of(attempt: Attempt) -> RunEnd:
    """Return how a run of the handler counts. One that was interrupted and completed all the same has completed."""
    finish = attempt.finish
    if finish is None:
        return RunEnd.HANDED_BACK if attempt.interruption is Interruption.STOPPED else RunEnd.CANCELLED
    if finish.outcome is not Outcome.COMPLETED:
        if attempt.interruption is Interruption.TIMED_OUT:
            return RunEnd.TIMED_OUT
        if attempt.interruption is Interruption.CANCELLED:
            return RunEnd.CANCELLED
    return _of(finish)


def count_finals(attempts: Sequence[Attempt], codes: Sequence[int]) -> tuple[int, int]:
    """Return how many of these results, by Redis' codes for them, ended their job: (completed, failed for good)."""
    completed = failed = 0
    for attempt, code in zip(attempts, codes, strict=True):
        if code == 0 and attempt.finish is not None:
            completed += attempt.finish.outcome is Outcome.COMPLETED
            failed += attempt.finish.outcome is Outcome.FAILED
    return completed, failed


def end_of_refused(attempt: Attempt) -> RunEnd:
    """Return how a job counts whose handler was not run."""
    finish = attempt.finish
    return RunEnd.EXPIRED if finish is None or finish.value == _EXPIRED else _of(finish)


def _of(finish: Finish) -> RunEnd:
    if finish.outcome is Outcome.COMPLETED:
        return RunEnd.COMPLETED
    return RunEnd.FAILED if finish.outcome is Outcome.FAILED else RunEnd.RETRIED
