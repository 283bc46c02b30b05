"""The number of workers by how long jobs wait: bounds, growth, shrinking, for every sequence of loads."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jobd.config.scaling import Scaling
from jobd.daemon.processes.autoscale import CALM_S, SETTLE_S, Autoscale, Load

SCALING = Scaling(1, 6, 30_000)


def load(waiting: int = 0, wait_s: float | None = None, **more) -> Load:
    given = {"workers": 1, "all_ready": True, "last_is_idle": waiting == 0, **more}
    return Load(waiting=waiting, oldest_wait_s=wait_s, **given)


def test_it_grows_by_one_towards_the_target_by_half_beyond_it_and_says_why():
    auto = Autoscale(SCALING, 1)
    assert not auto.look(load(9, 14.9), 10)
    assert auto.look(load(9, 15.0), 11)
    assert (auto.workers, auto.why) == (2, "the oldest job waits 15s (target 30s)")
    assert not auto.look(load(9, 40.0), 12)  # the last change settles
    assert auto.look(load(9, 40.0), 14)
    assert auto.look(load(9, 41.0), 17)
    assert auto.look(load(9, 42.0), 20)
    assert auto.workers == 6
    assert not auto.look(load(9, 50.0), 30)


def test_it_adds_no_more_workers_than_jobs_wait_and_none_where_that_would_not_help():
    auto = Autoscale(SCALING, 4)
    assert auto.look(load(1, 99.0), 10)
    assert auto.workers == 5
    assert not auto.look(load(9, 99.0, may_help=False), 20)
    assert not auto.look(load(9, 99.0, all_ready=False), 30)


def test_it_shrinks_one_by_one_when_the_last_worker_is_idle_and_all_was_calm_for_a_while():
    auto = Autoscale(Scaling(1, 6, 1000), 3)
    assert not auto.look(load(), 10)
    assert not auto.look(load(), 10 + CALM_S - 0.1)
    assert not auto.look(load(last_is_idle=False), 10 + CALM_S)
    assert auto.look(load(), 11 + CALM_S)
    assert (auto.workers, auto.why) == (2, "idle for 11s")
    assert auto.look(load(), 14 + CALM_S)
    assert not auto.look(load(), 40)
    assert auto.workers == 1


def test_other_bounds_keep_the_number_as_far_as_they_allow():
    auto = Autoscale(SCALING, 5)
    auto.use(Scaling(1, 3))
    assert auto.workers == 3
    auto.use(Scaling(4, 9))
    assert auto.workers == 4


class Machine(RuleBasedStateMachine):
    @initialize(low=st.integers(1, 3), more=st.integers(0, 5), target_ms=st.integers(1, 60_000))
    def begin(self, low, more, target_ms):
        self.scaling = Scaling(low, low + more, target_ms)
        self.auto = Autoscale(self.scaling, low)
        self.now = 0.0

    @rule(
        seconds=st.floats(0, 20), waiting=st.integers(0, 50), wait_s=st.none() | st.floats(0, 100), idle=st.booleans(),
        ready=st.booleans(), helps=st.booleans(),
    )  # fmt: skip
    def look(self, seconds, waiting, wait_s, idle, ready, helps):
        self.now += seconds
        before, at = self.auto.workers, self.auto.changed_at
        seen = load(waiting, wait_s, last_is_idle=idle, all_ready=ready, may_help=helps)
        changed = self.auto.look(seen, self.now)
        after = self.auto.workers
        assert changed == (after != before)
        if changed:
            assert ready
            assert self.now - at >= SETTLE_S
            assert self.auto.why
        if after > before:
            assert helps
            assert after - before <= waiting
            assert wait_s >= self.scaling.target_wait_ms / 2000
        if after < before:
            assert (before - after, idle, waiting) == (1, True, 0)

    @invariant()
    def within_its_bounds(self):
        if hasattr(self, "auto"):
            assert self.scaling.min <= self.auto.workers <= self.scaling.max


TestAutoscale = Machine.TestCase
