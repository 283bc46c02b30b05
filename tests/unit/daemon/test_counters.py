"""What the daemon counts for a worker that is gone: the runs its end cut off, and why it was replaced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.counters import Counters
from jobd.daemon.processes.exit_status import Ending
from jobd.errors import Refused
from jobd.protocol.board import SlotState, SlotView
from jobd.protocol.counts import ENDS, SIZE, CountsReader, CountsWriter, RunEnd


def view(slot: int, name: str = "other", state: SlotState = SlotState.RUNNING) -> SlotView:
    return SlotView(slot, state, str(slot), name, 1, 1.0, 0.0, 0.0)


class Gone:
    """A worker that has ended, with a board that is still there."""

    def __init__(self, ending: Ending, *views: SlotView, overdue: tuple[SlotView, ...] = ()) -> None:
        memory = memoryview(bytearray(SIZE))
        self.counts = CountsWriter(memory)
        self.board = SimpleNamespace(counts=CountsReader(memory), finals=(2, 1))
        self.ending, self.overdue, self.replaced_for = ending, list(overdue), None
        self._views = list(views)

    def slots(self) -> list[SlotView]:
        return self._views


def pool(*, is_open: bool = True) -> Any:
    return SimpleNamespace(queue=SimpleNamespace(jobs={"welcome": object()}), is_open=is_open, workers=list)


def ends(counters: Counters, where: Any) -> dict[str, dict[str, int]]:
    return {
        label: {end.value: count for end, count in zip(ENDS, runs.ends, strict=True) if count}
        for label, runs in counters.of("q").runs(where).items()
    }


def restarts(counters: Counters) -> dict[str, int]:
    return {reason: count for reason, count in counters.of("q").restarts.items() if count}


@pytest.mark.parametrize(
    ("ending", "overdue", "others", "restart"),
    [
        (Ending.CRASHED, "crashed", "crashed", "crash"),
        (Ending.MEMORY, "crashed", "crashed", "memory"),
        (Ending.STOOD_STILL, "crashed", "crashed", "crash"),
        (Ending.TEMPLATE_DIED, "handed_back", "handed_back", "crash"),
        (Ending.TIMED_OUT, "timed_out", "handed_back", "timeout"),
        (Ending.CANCELLED, "cancelled", "handed_back", "timeout"),
        (Ending.LOCK_LOST, "handed_back", "handed_back", "timeout"),
        (Ending.START_FAILED, "handed_back", "handed_back", "setup"),
        (Ending.ASKED, "handed_back", "handed_back", None),
    ],
)
def test_runs_that_an_end_cuts_off_count_once_each(
    ending: Ending, overdue: str, others: str, restart: str | None
) -> None:
    late, neighbour = view(1, "welcome"), view(2, "by a producer")
    counters, where = Counters(), pool()
    over = view(3, state=SlotState.RETURNED)
    counters.of("q").worker_gone(where, Gone(ending, late, neighbour, over, overdue=(late,)))  # type: ignore[arg-type]
    assert ends(counters, where) == {"welcome": {overdue: 1}, "other": {others: 1}}
    assert restarts(counters) == ({restart: 1} if restart else {})


@pytest.mark.parametrize("why", ["recycle", "reload"])
def test_a_worker_that_was_asked_to_end_counts_as_what_it_was_replaced_for(why: Any) -> None:
    counters, gone = Counters(), Gone(Ending.ASKED)
    gone.replaced_for = why
    counters.of("q").worker_gone(pool(), gone)  # type: ignore[arg-type]
    assert restarts(counters) == {why: 1}


def test_what_a_worker_counted_outlives_it() -> None:
    counters, where = Counters(), pool()
    for _ in range(2):
        gone = Gone(Ending.ASKED)
        gone.counts.ran(gone.counts.label("welcome"), RunEnd.COMPLETED, 0.02)
        gone.counts.waited(0.3)
        counters.of("q").worker_gone(where, gone)  # type: ignore[arg-type]
    assert ends(counters, where) == {"welcome": {"completed": 2}, "other": {}}
    assert counters.of("q").waits(where).total_s == pytest.approx(0.6)
    assert counters.of("q").finals([]) == (4, 2)


def test_workers_of_a_queue_that_is_closed_are_not_replaced() -> None:
    counters = Counters()
    counters.of("q").worker_gone(pool(is_open=False), Gone(Ending.CRASHED))  # type: ignore[arg-type]
    assert restarts(counters) == {}


def test_reloads_and_renewals_by_their_result() -> None:
    counters = Counters()
    for error in (None, Refused("trial-failed", "no"), Refused("config-invalid", "no")):
        counters.reload_ended(error)
    assert counters.reloads == {"applied": 1, "rolled_back": 1, "refused": 1}
    counters.renewed("q", 5, 1)
    assert counters.of("q").renewals == {"renewed": 5, "lost": 1}
