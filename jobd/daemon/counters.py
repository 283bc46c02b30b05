"""What has happened since the daemon started, queue by queue; a worker's own counts outlive it here."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.reload.trial import TRIAL_FAILED
from jobd.engine.metrics import Finals
from jobd.protocol.board import SlotState
from jobd.protocol.counts import ENDS, OTHER, Histogram, RunEnd, Runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.worker_state import Worker
    from jobd.errors import JobdError
    from jobd.operations.numbers import ScheduleNumbers
    from jobd.protocol.board import SlotView


class Restart(StrEnum):
    """Why a worker was replaced."""

    CRASH = "crash"
    RECYCLE = "recycle"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    RELOAD = "reload"
    SETUP = "setup"


class Renewal(StrEnum):
    """What became of a lock that was to be renewed."""

    RENEWED = "renewed"
    LOST = "lost"


class Reload(StrEnum):
    """How a reload ended."""

    APPLIED = "applied"
    REFUSED = "refused"
    """The file was wrong, a handler did not import, or it needs a restart."""
    ROLLED_BACK = "rolled_back"
    """A trial worker was not ready."""


class QueueCounters:
    """One queue, over the lives of its workers."""

    def __init__(self) -> None:
        self.restarts = Counter({reason.value: 0 for reason in Restart})
        self.renewals = Counter({result.value: 0 for result in Renewal})
        self._gone_runs: dict[str, Runs] = {}
        self._gone_waits = Histogram()
        self._gone_finals = Finals()

    def runs(self, pool: Pool) -> dict[str, Runs]:
        """Return {label: runs} of all its workers, for every name under `jobs` and the others."""
        found = {label: Runs() for label in (OTHER, *pool.queue.jobs)}
        _add(found, self._gone_runs)
        for worker in pool.workers():
            if worker.board is not None:
                _add(found, worker.board.counts.runs())
        return found

    def waits(self, pool: Pool) -> Histogram:
        """Return how long the jobs of all its workers had waited."""
        total = self._gone_waits
        for worker in pool.workers():
            if worker.board is not None:
                total += worker.board.counts.waits()
        return total

    def finals(self, workers: Iterable[Worker]) -> Finals:
        """Return how many jobs ended for good, in these workers and in those that are gone."""
        completed, failed = self._gone_finals
        for worker in workers:
            if worker.board is not None:
                more = worker.board.finals
                completed, failed = completed + more[0], failed + more[1]
        return Finals(completed, failed)

    def ended_for_good(self, completed: int, failed: int) -> None:
        """Count jobs whose worker could not: it is gone."""
        before = self._gone_finals
        self._gone_finals = Finals(before.completed + completed, before.failed + failed)

    def worker_gone(self, pool: Pool, worker: Worker) -> None:
        """Keep what an ended worker had counted, and count what it could not: the runs that its end cut off."""
        if worker.board is not None:
            _add(self._gone_runs, worker.board.counts.runs())
            self._gone_waits += worker.board.counts.waits()
            self.ended_for_good(*worker.board.finals)
            cut_off = [view for view in worker.slots() if view.state is SlotState.RUNNING]
            overdue = {(view.slot, view.ats) for view in worker.overdue}
            for view in cut_off:
                end = _end_of(worker.ending, overdue=(view.slot, view.ats) in overdue)
                _add(self._gone_runs, {_label(pool, view): _one(end)})
        reason = _restart_of(worker)
        if reason is not None and pool.is_open:
            self.restarts[reason.value] += 1


class Counters:
    """All queues, and what belongs to none."""

    def __init__(self) -> None:
        self.reloads = Counter({result.value: 0 for result in Reload})
        self.schedules: tuple[ScheduleNumbers, ...] = ()
        """Of the file's schedules what was read last; none while Redis does not say."""
        self._queues: dict[str, QueueCounters] = {}

    def of(self, queue: str) -> QueueCounters:
        """Return those of a queue; what is removed and comes back goes on counting."""
        return self._queues.setdefault(queue, QueueCounters())

    def ended_for_good(self, queue: str, completed: int, failed: int) -> None:
        """Jobs of a queue ended that no worker lives to count."""
        self.of(queue).ended_for_good(completed, failed)

    def queues(self) -> Iterator[str]:
        """Yield the name of every queue that has counted."""
        return iter(tuple(self._queues))

    def reload_ended(self, error: JobdError | None) -> None:
        """A reload was applied (None), or was not."""
        result = Reload.APPLIED
        if error is not None:
            result = Reload.ROLLED_BACK if error.code == TRIAL_FAILED else Reload.REFUSED
        self.reloads[result.value] += 1

    def renewed(self, queue: str, renewed: int, lost: int) -> None:
        """Locks of a queue were renewed, or found lost."""
        renewals = self.of(queue).renewals
        renewals[Renewal.RENEWED.value] += renewed
        renewals[Renewal.LOST.value] += lost


def _add(total: dict[str, Runs], more: dict[str, Runs]) -> None:
    for label, runs in more.items():
        total[label] = total.get(label, Runs()) + runs


def _one(end: RunEnd) -> Runs:
    return Runs(tuple(int(one is end) for one in ENDS))


def _label(pool: Pool, view: SlotView) -> str:
    return view.name if view.name in pool.queue.jobs else OTHER


def _end_of(ending: Ending, *, overdue: bool) -> RunEnd:
    """Return how a run ended that was under way when its worker did."""
    match ending:
        case Ending.CRASHED | Ending.MEMORY | Ending.STOOD_STILL:
            return RunEnd.CRASHED
        case Ending.TIMED_OUT:
            return RunEnd.TIMED_OUT if overdue else RunEnd.HANDED_BACK
        case Ending.CANCELLED:
            return RunEnd.CANCELLED if overdue else RunEnd.HANDED_BACK
        case Ending.ASKED | Ending.LOCK_LOST | Ending.TEMPLATE_DIED | Ending.START_FAILED:
            return RunEnd.HANDED_BACK
        case _:
            assert_never(ending)


def _restart_of(worker: Worker) -> Restart | None:
    match worker.ending:
        case Ending.CRASHED | Ending.STOOD_STILL | Ending.TEMPLATE_DIED:
            return Restart.CRASH
        case Ending.MEMORY:
            return Restart.MEMORY
        case Ending.TIMED_OUT | Ending.LOCK_LOST | Ending.CANCELLED:
            return Restart.TIMEOUT
        case Ending.START_FAILED:
            return Restart.SETUP
        case Ending.ASKED:
            return None if worker.replaced_for is None else Restart(worker.replaced_for)
        case _:
            assert_never(worker.ending)
