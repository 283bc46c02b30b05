"""When a worker is looked at for a job that outlives its timeout: when one can have, and not before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties.deadlines import SHORTEST_S, Deadlines, shortest_run_s
from jobd.daemon.duties.duty import NOTHING_DUE_S
from jobd.daemon.processes.exit_status import Ending
from jobd.protocol.board import SlotState, SlotView

NOW = 100.0


def queue(timeout_s: float | None, kill_after_s: float = 10.0, **jobs: float | None) -> Any:
    """Return a queue with these times, and some of its jobs' own timeouts."""

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * 1000

    own = {name: SimpleNamespace(timeout_ms=ms(timeout)) for name, timeout in jobs.items()}
    return SimpleNamespace(timeout_ms=ms(timeout_s), kill_after_ms=kill_after_s * 1000, jobs=own)


class Worker:
    """A worker whose jobs are to be killed at these moments; it is its own board."""

    pid = 7
    is_up = True

    def __init__(self, *kill_at: float) -> None:
        self.board = self
        self.busy = len(kill_at)
        self.overdue: list[SlotView] = []
        self.killed: list[Ending] = []
        self._views = [
            SlotView(slot, SlotState.RUNNING, str(slot), "n", 1, 1.0, 0.0, moment)
            for slot, moment in enumerate(kill_at)
        ]

    def slots(self) -> list[SlotView]:
        return self._views

    def kill(self, ending: Ending, cause: str) -> None:
        self.killed.append(ending)


def look(*pairs: tuple[Any, Worker]) -> float:
    """Look once at these queues' workers; return for how long nobody needs to."""
    members = [(SimpleNamespace(name="mail", queue=queue), worker) for queue, worker in pairs]
    fleet: Any = SimpleNamespace(clock=SimpleNamespace(monotonic=lambda: NOW), workers=lambda: members)
    return asyncio.run(Deadlines(fleet).run_once())


@pytest.mark.parametrize(
    ("of", "shortest_s"),
    [
        (queue(60.0), 70.0),
        (queue(60.0, 0.5), 60.5),
        (queue(60.0, 1.0, quick=2.0, slow=300.0, plain=None), 3.0),
        (queue(None, 1.0, quick=2.0), 3.0),
        (queue(None), float("inf")),
    ],
)
def test_the_shortest_time_after_which_a_job_is_overdue(of: Any, shortest_s: float) -> None:
    assert shortest_run_s(of) == shortest_s


def test_where_no_job_has_a_timeout_nobody_looks() -> None:
    assert look((queue(None), Worker()), (queue(None), Worker(0.0))) == NOTHING_DUE_S


def test_a_job_that_starts_right_after_the_look_is_looked_at_in_time() -> None:
    assert look((queue(5.0, 1.0), Worker()), (queue(None), Worker())) == 6.0


def test_the_first_job_to_be_overdue_counts() -> None:
    assert look((queue(60.0), Worker(NOW + 20.0, NOW + 3.5)), (queue(60.0), Worker(NOW + 9.0))) == pytest.approx(3.5)


def test_one_that_a_reload_has_left_without_a_timeout_keeps_its_own() -> None:
    assert look((queue(None), Worker(NOW + 3.5))) == pytest.approx(3.5)


def test_the_worker_of_an_overdue_job_is_killed_and_its_neighbours_are_not_to_blame() -> None:
    worker, other = Worker(NOW - 0.001, NOW + 50.0), Worker(NOW + 2.0)
    assert look((queue(60.0), worker), (queue(60.0), other)) == pytest.approx(2.0)
    assert (worker.killed, [view.slot for view in worker.overdue], other.killed) == ([Ending.TIMED_OUT], [0], [])


def test_times_of_a_millisecond_do_not_keep_the_daemon_busy() -> None:
    assert look((queue(0.001, 0.0), Worker())) == SHORTEST_S
