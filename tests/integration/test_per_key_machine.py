"""Any sequence of adds, takes, ends, deaths and foreign hands: the limit per key holds, nothing is lost or stuck."""

from __future__ import annotations

import itertools
import json
import os

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from jobd.engine.job import Finish, KeyLimit, Taken
from jobd.engine.locks import check_stalled, hand_back_jobs, recover_jobs
from jobd.engine.states import Outcome
from tests.support.queue_of import NOW, QueueOf
from tests.support.redis_server import RedisServer

LIMIT = KeyLimit("t", 2)
WORKERS = ("i1:w1:", "i1:w2:", "i2:w1:")
_numbers = itertools.count()


class Machine(RuleBasedStateMachine):
    """Three workers on two hosts, a Node worker, and a clock."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.q = QueueOf(self.client, f"pk{os.getpid()}x{next(_numbers)}")
        self.now = NOW
        self.held: dict[str, list[Taken]] = {worker: [] for worker in WORKERS}
        self.order: dict[str, list[str]] = {}
        self.added = 0

    def teardown(self) -> None:
        try:
            self._everything_ends()
        finally:
            self.q.close()

    @rule(key=st.sampled_from("abc"), priority=st.sampled_from([0, 0, 0, 1, 2]))
    def add(self, key: str, priority: int) -> None:
        self.added += 1
        self.q.put(f"{key}{self.added}", priority=priority, data=json.dumps({"t": key}))

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 4))
    def take(self, worker: str, count: int) -> None:
        self._turn(worker, [], count)

    @rule(
        worker=st.sampled_from(WORKERS), ends=st.integers(1, 3), count=st.integers(0, 3),
        outcome=st.sampled_from([*Outcome]), delay_ms=st.sampled_from([0, 5000]),
    )  # fmt: skip
    def end(self, worker: str, ends: int, count: int, outcome: Outcome, delay_ms: int) -> None:
        jobs, self.held[worker] = self.held[worker][:ends], self.held[worker][ends:]
        if outcome is Outcome.LIMITED:
            delay_ms = 0
        made = {"made": 0} if outcome is Outcome.COMPLETED else {}
        self._turn(worker, [Finish(j.id, j.token, outcome, delay_ms=delay_ms, key=j.key, **made) for j in jobs], count)

    def _turn(self, worker: str, finishes: list[Finish], count: int) -> None:
        reply = self.q.turn(*finishes, take=count, now=self.now, prefix=worker, per_key=LIMIT)
        self.held[worker] += reply.jobs

    @rule(worker=st.sampled_from(WORKERS), started=st.booleans())
    def die(self, worker: str, started: bool) -> None:
        ids = [job.id for job in self.held[worker]] if started else []
        self.q.run(
            recover_jobs(self.q.keys, worker, started=ids, counted=True, max_crashes=1, reason="died", now_ms=self.now)
        )
        self.held[worker] = []

    @rule(worker=st.sampled_from(WORKERS))
    def stop(self, worker: str) -> None:
        self.q.run(hand_back_jobs(self.q.keys, worker))
        self.held[worker] = []

    @rule(worker=st.sampled_from(WORKERS))
    def lose_locks_and_be_found_stalled(self, worker: str) -> None:
        """The host is gone: its locks run out, and another host's check finds the jobs."""
        for job in self.held[worker]:
            self.q.r.delete(self.q.keys.lock(job.id))
        self.held[worker] = []
        for _ in range(2):
            self.q.r.delete(self.q.keys.stalled_check)
            self.q.run(check_stalled(self.q.keys, now_ms=self.now, interval_ms=1000, max_crashes=3))

    @rule(worker=st.sampled_from(WORKERS))
    def lose_locks_and_be_found_by_node(self, worker: str) -> None:
        """The same, found by a peer that knows nothing of keys."""
        for job in self.held[worker]:
            self.q.r.delete(self.q.keys.lock(job.id))
            if self.q.r.lrem(self.q.keys.active, 1, job.id):
                self.q.r.rpush(self.q.keys.wait, job.id)
        self.held[worker] = []

    @rule()
    def node_takes_and_finishes_the_next(self) -> None:
        job_id = self.q.r.rpop(self.q.keys.wait)
        if job_id:
            self.q.r.hset(self.q.keys.job(str(job_id)), mapping={"finishedOn": self.now, "returnvalue": "null"})
            self.q.r.zadd(self.q.keys.completed, {str(job_id): self.now})

    @rule()
    def somebody_removes_the_first_delayed(self) -> None:
        for job_id, _ in self.q.r.zpopmin(self.q.keys.delayed):
            self.q.r.delete(self.q.keys.job(job_id))

    @rule(seconds=st.sampled_from([1, 61]))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds * 1000

    @invariant()
    def no_key_has_more_than_its_places(self) -> None:
        keys = [job_id[0] for job_id in self.q.r.lrange(self.q.keys.active, 0, -1)]
        assert all(keys.count(key) <= LIMIT.max for key in "abc"), keys

    @invariant()
    def what_counts_holds_all_that_is_active(self) -> None:
        books = self.q.r.hgetall(f"{self.q.keys.base}jobd-keys")
        counted = {job_id for text in books.values() for job_id in text.split("\n")[1:-1]}
        assert set(self.q.r.lrange(self.q.keys.active, 0, -1)) <= counted

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        self.q.assert_sound()

    def _everything_ends(self) -> None:
        """One worker, and no time but what a retry asks for: nothing waits for the minute of those set aside."""
        for worker in WORKERS:
            self.stop(worker)
        self.now += 61_000  # what Node left behind is due by now
        for _ in range(20 * self.added + 50):
            self.end("i1:w1:", 3, 4, Outcome.COMPLETED, 0)
            if not self.held["i1:w1:"]:
                break
        left = self.q.r.zcard(self.q.keys.delayed) + self.q.r.llen(self.q.keys.wait)
        assert left + self.q.r.zcard(self.q.keys.prioritized) == 0
        assert not self.q.r.keys(f"{self.q.keys.base}jobd-aside:*")


def test_the_limit_holds_and_everything_ends(redis_server: RedisServer) -> None:
    Machine.client = redis_server.client()
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=40,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=[*HealthCheck],
                phases=[Phase.generate],  # a real Redis is not replayed to the millisecond: the first failure is told
            ),
        )
    finally:
        Machine.client.close()
