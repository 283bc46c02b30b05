"""When locks are renewed next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.duties.renew import SHORTEST_S, TICK_S, Renew


class Pool:
    def __init__(self, lock_s: float) -> None:
        self.queue = SimpleNamespace(lock_duration_ms=lock_s * 1000)


def renewal(now: float, renewed_at: dict[Pool, float]) -> Renew:
    fleet: Any = SimpleNamespace(
        clock=SimpleNamespace(monotonic=lambda: now), workers=lambda: [(pool, None) for pool in renewed_at]
    )
    renew = Renew(fleet, SimpleNamespace(), lambda name, trouble: None)  # type: ignore[arg-type]
    renew._renewed_at.update(renewed_at)  # type: ignore[arg-type]
    return renew


@pytest.mark.parametrize(
    ("lock_s", "ago_s", "pause_s"),
    [(0.6, 0.0, 0.2), (0.6, 0.15, 0.05), (0.6, 5.0, SHORTEST_S), (30.0, 0.0, TICK_S), (30.0, 9.9, 0.1)],
)
def test_a_queue_is_renewed_at_a_third_of_its_lock_and_not_at_the_next_tick(lock_s, ago_s, pause_s):
    assert renewal(100.0, {Pool(lock_s): 100.0 - ago_s})._pause() == pytest.approx(pause_s)


def test_the_queue_that_is_due_first_counts():
    assert renewal(100.0, {Pool(30.0): 100.0, Pool(0.3): 99.95})._pause() == pytest.approx(0.05)


def test_without_workers_there_is_a_tick():
    assert renewal(100.0, {})._pause() == TICK_S
