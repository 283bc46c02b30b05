"""The pool of a queue as a machine: every pair of what can happen to it, with real workers and no process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.place import PlaceState
from jobd.daemon.processes.pool import PoolState
from jobd.daemon.processes.worker_state import Worker, WorkerState
from tests.unit.daemon.processes.pool_world import BREAKER, KILLED, World, queue


class PoolMachine(RuleBasedStateMachine):
    """Anything, in any order: recycle, scale, reload, remove, stop, crash, failed start, quiet, timers."""

    @initialize(workers=st.integers(1, 4), breaker=st.sampled_from([None, BREAKER]))
    def begin(self, workers: int, breaker: Any) -> None:
        self.world = World(workers, breaker)
        self.pool = self.world.pool
        self.pool.fill()

    def _one_of(self, data: Any, workers: Iterable[Worker]) -> Worker | None:
        found = list(workers)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data())
    def becomes_ready(self, data: Any) -> None:
        worker = self._one_of(data, self.world.of(WorkerState.FORKING, WorkerState.STARTING))
        if worker is not None:
            self.world.get_ready(worker)

    @rule(data=st.data(), crash=st.booleans())
    def start_fails(self, data: Any, crash: bool) -> None:
        worker = self._one_of(data, self.world.of(WorkerState.FORKING, WorkerState.STARTING))
        if worker is not None:
            self.world.fail_start(worker, crash=crash)

    @rule(data=st.data())
    def start_takes_too_long(self, data: Any) -> None:
        worker = self._one_of(data, self.world.of(WorkerState.STARTING))
        if worker is not None:
            worker.start_timed_out(60.0)

    @rule(data=st.data(), status=st.sampled_from([KILLED, 0, 1 << 8]))
    def exits(self, data: Any, status: int) -> None:
        worker = self._one_of(data, [worker for worker in self.world.alive if worker.link is not None])
        if worker is not None:
            self.world.end(worker, status)

    @rule(data=st.data(), ending=st.sampled_from([Ending.ASKED, Ending.MEMORY, Ending.TIMED_OUT, Ending.TEMPLATE_DIED]))
    def is_killed(self, data: Any, ending: Ending) -> None:
        worker = self._one_of(data, self.world.alive)
        if worker is not None:
            worker.kill(ending)

    @rule()
    def those_told_to_end_do(self) -> None:
        self.world.obey()

    @rule(data=st.data(), grace_s=st.sampled_from([None, 5.0]))
    def recycle(self, data: Any, grace_s: float | None) -> None:
        places = list(self.pool.places.values())
        if places:
            self.pool.replace(data.draw(st.sampled_from(places)), grace_s)

    @rule(to=st.none() | st.integers(0, 5))
    def scale(self, to: int | None) -> None:
        self.pool.scaled_to = to
        self.pool.fill()

    @rule(workers=st.integers(1, 4))
    @precondition(lambda self: self.pool.is_open)
    def reload(self, workers: int) -> None:
        self.world.reload(workers)

    @rule(workers=st.integers(1, 4))
    @precondition(lambda self: self.pool.is_open)
    def reload_in_place(self, workers: int) -> None:
        self.world.generation += 1
        self.pool.apply_in_place(queue(workers), self.world.generation)

    @rule(quiet=st.booleans())
    def quiet(self, quiet: bool) -> None:
        self.pool.quieted_by = "me" if quiet else None
        self.pool.apply_quiet()

    @rule()
    def time_passes(self) -> None:
        self.world.elapse()

    @rule()
    @precondition(lambda self: self.pool.is_open)
    def remove(self) -> None:
        self.world.forbidden = "the queue was removed"
        self.pool.remove(self.world.generation)

    @rule()
    def stop(self) -> None:
        self.world.forbidden = "the daemon stops"
        self.pool.stop_restarting()
        for worker in list(self.pool.workers()):
            worker.drain()

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_live_worker_is_listed_once(self) -> None:
        listed = list(self.pool.workers())
        assert len(listed) == len(set(listed))
        assert set(listed) == set(self.world.alive)

    @invariant()
    def places_are_those_wanted(self) -> None:
        removed = self.pool.state is PoolState.REMOVED
        if self.pool.is_open or removed:
            wanted = 0 if removed else self.pool.wanted
            assert sorted(self.pool.places) == list(range(1, wanted + 1))

    @invariant()
    def a_place_is_what_its_state_says(self) -> None:
        for one in self.pool.places.values():
            expected = {
                PlaceState.EMPTY: (False, False, False),
                PlaceState.BACKING_OFF: (False, False, True),
                PlaceState.STARTING: (True, False, False),
                PlaceState.READY: (True, False, False),
                PlaceState.REPLACING: (True, True, False),
            }[one.state]
            assert (one.worker is not None, one.replacement is not None, one.timer is not None) == expected
            if one.state is PlaceState.STARTING:
                assert not one.worker.takes_jobs
            if one.replacement is not None:
                assert not one.replacement.takes_jobs

    @invariant()
    def whoever_lost_its_place_is_told_to_go(self) -> None:
        for worker in self.pool.leaving:
            assert worker.state in (WorkerState.DRAINING, WorkerState.STOPPING, WorkerState.KILLED)

    @invariant()
    def a_queue_held_back_has_no_restart_due(self) -> None:
        if self.pool.hold.is_on:
            assert all(one.timer is None for one in self.pool.places.values())

    @invariant()
    def quiet_workers_take_nothing(self) -> None:
        if self.pool.is_quiet:
            assert not self.world.of(WorkerState.READY)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """A vacant place of an open pool has something ahead of it: a hold that ends, or a restart that is due."""
        if not self.pool.is_open:
            return
        pending = any(timer.pending for timer in self.world.timers)
        trying = any(one.state is PlaceState.STARTING for one in self.pool.places.values())
        for one in self.pool.places.values():
            assert not one.vacant or pending or trying

    def teardown(self) -> None:
        """When nothing goes wrong any more, every place gets a worker of the newest configuration and the rest end."""
        if not hasattr(self, "world"):
            return
        for _ in range(60):
            self.world.all_ready()
            self.world.obey()
            self.world.elapse()
        self.world.all_ready()
        self.world.obey()
        self.every_live_worker_is_listed_once()
        if self.pool.is_open:
            assert self.world.states() == ["ready"] * self.pool.wanted
            assert not self.pool.hold.is_on
            assert {worker.generation for worker in self.world.alive} <= {self.world.generation}
            assert not self.pool._stale()
        else:
            drained = self.pool.state is PoolState.REMOVED or self.world.forbidden
            assert not drained or not self.world.alive


PoolMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEveryPair = PoolMachine.TestCase
