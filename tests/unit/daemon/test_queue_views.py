"""The numbers of a queue's row, and the words it has beside its state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from jobd.daemon.queue_views import Tally, held_note


def test_the_first_line_says_why_a_queue_is_held_and_for_how_long() -> None:
    assert held_note("3 crashes in 1m", 40.2) == "3 crashes in 1m; retry in 40s"
    reason = "setup failed: RuntimeError: no db\nTraceback (most recent call last):\n  …"
    first, *rest = held_note(reason, -1).splitlines()
    assert first == "setup failed: RuntimeError: no db; retry in 0ms"
    assert rest == reason.splitlines()[1:]


def pool_of(*done: int) -> Any:
    """Return a pool whose workers have done so many jobs."""
    boards = [SimpleNamespace(jobs_done=count, jobs_failed=0, histogram=lambda: [0] * 64) for count in done]
    workers = [SimpleNamespace(board=board) for board in boards]
    return SimpleNamespace(workers=lambda: workers)


def test_runs_of_the_last_minute_are_counted_over_the_deaths_of_workers() -> None:
    tally, pool = Tally(), pool_of(5, 7)
    tally.sample([pool], 100.0)
    pool.workers()[0].board.jobs_done = 9
    tally.sample([pool], 130.0)
    tally.worker_gone(pool.workers().pop())
    tally.sample([pool], 159.0)
    assert tally.done_per_min([pool]) == 4
    tally.sample([pool], 161.0)
    assert tally.done_per_min([pool]) == 0


def test_a_queue_that_came_back_while_its_old_workers_drain_has_done_no_less_than_nothing() -> None:
    tally, old, new = Tally(), pool_of(100), pool_of(0)
    tally.sample([old], 100.0)
    tally.sample([new, old], 101.0)
    new.workers()[0].board.jobs_done = 3
    assert tally.done_per_min([new, old]) == 3
    tally.worker_gone(old.workers().pop())
    assert tally.done_per_min([new, old]) == 3
