"""A queue in a real Redis as the engine's tests set it up: jobs put by hand, turns run, tables compared."""

from __future__ import annotations

from typing import Any

import redis

from jobd.engine.job import Finish, KeyLimit, Limiter, Taken, TurnReply, TurnRequest
from jobd.engine.keys import Keys
from jobd.engine.runner import Command, SyncRunner
from jobd.engine.states import Outcome
from jobd.engine.turn import turn
from tests.support.tables import Tables, assert_one_state_each, changed, events, tables

NOW = 1_795_486_443_666
LOCK_MS = 30_000
PREFIX = "incarnation1:w1:"


class QueueOf:
    """One queue, read as text; commands run on a connection that returns bytes, as the product's does."""

    def __init__(self, client: redis.Redis, prefix: str, name: str = "q") -> None:
        self.r = client
        self.prefix = prefix
        self.name = name
        self.keys = Keys(prefix, name)
        self._raw = redis.Redis(unix_socket_path=client.connection_pool.connection_kwargs["path"], protocol=2)
        self.runner = SyncRunner(self._raw)

    def close(self) -> None:
        self._raw.close()

    def run(self, command: Command[Any]) -> Any:
        return self.runner.run(command)

    def put(self, job_id: str, *, priority: int = 0, opts: str = '{"attempts":0}', **fields: Any) -> str:
        """A job as an add leaves it: hash, wait or prioritized, marker."""
        self._hash(job_id, priority=priority, opts=opts, **fields)
        if priority:
            score = priority * 2**32 + int(self.r.incr(f"{self.keys.base}pc"))
            self.r.zadd(self.keys.prioritized, {job_id: score})
        else:
            self.r.lpush(self.keys.wait, job_id)
        self.r.zadd(self.keys.marker, {"0": 0})
        return job_id

    def put_paused(self, job_id: str) -> str:
        """A job as BullMQ 5 adds it to a paused queue."""
        self._hash(job_id)
        self.r.lpush(self.keys.legacy_paused, job_id)
        return job_id

    def put_delayed(self, job_id: str, due: int, *, step: int = 0, **fields: Any) -> str:
        self._hash(job_id, delay=5, **fields)
        self.r.zadd(self.keys.delayed, {job_id: due * 4096 + step})
        return job_id

    def _hash(self, job_id: str, **fields: Any) -> None:
        self.r.hset(self.keys.meta, "opts.maxLenEvents", "10000")
        plain = {"name": "n", "data": "{}", "opts": '{"attempts":0}', "timestamp": NOW, "delay": 0, "priority": 0}
        self.r.hset(self.keys.job(job_id), mapping={**plain, **fields})

    def turn(
        self, *finishes: Finish, take: int = 0, busy: int = 0, now: int = NOW, prefix: str = PREFIX, name: str = "",
        limiter: Limiter | None = None, clock_ms: int | None = None, per_key: KeyLimit | None = None,
    ) -> TurnReply:  # fmt: skip
        request = TurnRequest(now, LOCK_MS, prefix, name, list(finishes), take, busy, limiter, clock_ms, per_key)
        reply: TurnReply = self.run(turn(self.keys, request))
        return reply

    def take(self, count: int = 1, **more: Any) -> list[Taken]:
        return self.turn(take=count, **more).jobs

    def ids(self, count: int = 1, **more: Any) -> list[str]:
        return [job.id for job in self.take(count, **more)]

    def tables(self) -> Tables:
        return tables(self.r, self.prefix)

    def changed_since(self, before: Tables) -> Tables:
        """What differs, named without the queue's prefix."""
        difference = changed(before, self.tables())
        return {key.removeprefix(self.keys.base): value for key, value in difference.items()}

    def events(self) -> list[str]:
        return events(self.r, self.keys)

    def hash(self, job_id: str) -> dict[str, str]:
        return dict(self.r.hgetall(self.keys.job(job_id)))

    def wait(self) -> list[str]:
        """Waiting ids, the next to run first."""
        return list(reversed(self.r.lrange(self.keys.wait, 0, -1)))

    def assert_sound(self) -> None:
        assert_one_state_each(self.r, self.prefix, self.name)


def done(job: Taken, value: bytes = b"null", **more: Any) -> Finish:
    """A plain completion, which goes the short way."""
    return Finish(job.id, job.token, Outcome.COMPLETED, value, made=job.attempts_made, **more)


def ended(job: Taken, outcome: Outcome = Outcome.COMPLETED, value: bytes = b"null", **more: Any) -> Finish:
    """A finish that goes the long way, since the script is not told `made`."""
    return Finish(job.id, job.token, outcome, value, **more)


def failed(job: Taken, **more: Any) -> Finish:
    """A failure for good."""
    return ended(job, Outcome.FAILED, b"boom", stacktrace=b'["trace"]', **more)
