"""Any sequence of adds, takes, ends, deaths and foreign hands: the limit per key holds, nothing is lost or stuck."""

from __future__ import annotations

import itertools
import json
import os
from random import Random

import pytest
import redis

from jobd.engine.job import Finish, KeyLimit, Taken
from jobd.engine.locks import check_stalled, hand_back_jobs, recover_jobs
from jobd.engine.states import Outcome
from tests.support.queue_of import NOW, QueueOf

LIMIT = KeyLimit("t", 2)
WORKERS = ("i1:w1:", "i1:w2:", "i2:w1:")
_numbers = itertools.count()


class World:
    """Three workers on two hosts, a Node worker, and a clock. What happens is drawn from one seed."""

    def __init__(self, client: redis.Redis, draw: Random) -> None:
        self.draw = draw
        self.q = QueueOf(client, f"pk{os.getpid()}x{next(_numbers)}")
        self.now = NOW
        self.held: dict[str, list[Taken]] = {worker: [] for worker in WORKERS}
        self.order: dict[str, list[str]] = {}
        self.added = 0

    def step(self) -> None:
        """Do one thing, then look at what must hold whatever it was."""
        draw = self.draw
        worker = draw.choice(WORKERS)
        what = draw.choice(
            (
                lambda: self.add(draw.choice("abc"), draw.choice([0, 0, 0, 1, 2])),
                lambda: self._turn(worker, [], draw.randint(1, 4)),
                lambda: self.end(worker, draw.randint(1, 3), draw.randint(0, 3), draw.choice([*Outcome]),
                                 draw.choice([0, 5000])),
                lambda: self.die(worker, draw.random() < 0.5),
                lambda: self.stop(worker),
                lambda: self.lose_locks_and_be_found_stalled(worker),
                lambda: self.lose_locks_and_be_found_by_node(worker),
                self.node_takes_and_finishes_the_next,
                self.somebody_removes_the_first_delayed,
                lambda: self.time_goes_by(draw.choice([1, 61])),
            )
        )  # fmt: skip
        what()
        self.no_key_has_more_than_its_places()
        self.what_counts_holds_all_that_is_active()
        self.q.assert_sound()

    def add(self, key: str, priority: int) -> None:
        self.added += 1
        self.q.put(f"{key}{self.added}", priority=priority, data=json.dumps({"t": key}))

    def end(self, worker: str, ends: int, count: int, outcome: Outcome, delay_ms: int) -> None:
        jobs, self.held[worker] = self.held[worker][:ends], self.held[worker][ends:]
        if outcome is Outcome.LIMITED:
            delay_ms = 0
        made = {"made": 0} if outcome is Outcome.COMPLETED else {}
        self._turn(worker, [Finish(j.id, j.token, outcome, delay_ms=delay_ms, key=j.key, **made) for j in jobs], count)

    def _turn(self, worker: str, finishes: list[Finish], count: int) -> None:
        reply = self.q.turn(*finishes, take=count, now=self.now, prefix=worker, per_key=LIMIT)
        self.held[worker] += reply.jobs

    def die(self, worker: str, started: bool) -> None:
        begun = [(job.id, job.attempts_started) for job in self.held[worker]] if started else []
        self.q.run(
            recover_jobs(self.q.keys, worker, begun=begun, counted=True, max_crashes=1, reason="died", now_ms=self.now)
        )
        self.held[worker] = []

    def stop(self, worker: str) -> None:
        self.q.run(hand_back_jobs(self.q.keys, worker))
        self.held[worker] = []

    def lose_locks_and_be_found_stalled(self, worker: str) -> None:
        """The host is gone: its locks run out, and another host's check finds the jobs."""
        for job in self.held[worker]:
            self.q.r.delete(self.q.keys.lock(job.id))
        self.held[worker] = []
        for _ in range(2):
            self.q.r.delete(self.q.keys.stalled_check)
            self.q.run(check_stalled(self.q.keys, now_ms=self.now, interval_ms=1000, max_crashes=3))

    def lose_locks_and_be_found_by_node(self, worker: str) -> None:
        """The same, found by a peer that knows nothing of keys."""
        for job in self.held[worker]:
            self.q.r.delete(self.q.keys.lock(job.id))
            if self.q.r.lrem(self.q.keys.active, 1, job.id):
                self.q.r.rpush(self.q.keys.wait, job.id)
        self.held[worker] = []

    def node_takes_and_finishes_the_next(self) -> None:
        job_id = self.q.r.rpop(self.q.keys.wait)
        if job_id:
            self.q.r.hset(self.q.keys.job(str(job_id)), mapping={"finishedOn": self.now, "returnvalue": "null"})
            self.q.r.zadd(self.q.keys.completed, {str(job_id): self.now})

    def somebody_removes_the_first_delayed(self) -> None:
        for job_id, _ in self.q.r.zpopmin(self.q.keys.delayed):
            self.q.r.delete(self.q.keys.job(job_id))

    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds * 1000

    def no_key_has_more_than_its_places(self) -> None:
        keys = [job_id[0] for job_id in self.q.r.lrange(self.q.keys.active, 0, -1)]
        assert all(keys.count(key) <= LIMIT.max for key in "abc"), keys

    def what_counts_holds_all_that_is_active(self) -> None:
        books = self.q.r.hgetall(f"{self.q.keys.base}jobd-keys")
        counted = {job_id for text in books.values() for job_id in text.split("\n")[1:-1]}
        assert set(self.q.r.lrange(self.q.keys.active, 0, -1)) <= counted

    def everything_ends(self) -> None:
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


@pytest.mark.parametrize("seed", range(40))
def test_the_limit_holds_and_everything_ends(r: redis.Redis, seed: int) -> None:
    world = World(r, Random(seed))
    try:
        for _ in range(40):
            world.step()
        world.everything_ends()
    finally:
        world.q.close()
