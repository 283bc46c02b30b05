"""Maintenance by a program: what both queues do to jobs, refuse, and tell."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobd.client import AsyncQueue, Queue
from jobd.client.async_queue_maintenance import AsyncQueueUpkeep
from jobd.client.queue_maintenance import QueueUpkeep
from jobd.engine.keys import Keys
from jobd.errors import InputError, NotThere, Refused
from tests.integration.test_operations import put_failed
from tests.support.finishing import finish
from tests.support.redis_server import RedisServer


class Awaited:
    """An AsyncQueue whose methods are called as those of a Queue are."""

    def __init__(self, queue: AsyncQueue, runner: asyncio.Runner) -> None:
        self._queue = queue
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._queue, name)

        def call(*args: Any, **options: Any) -> Any:
            async def act() -> Any:
                result = method(*args, **options)
                return await result if inspect.isawaitable(result) else result

            return self._runner.run(act())

        return call


@pytest.fixture(params=["sync", "async"])
def queue(request: pytest.FixtureRequest, redis_server: RedisServer, prefix: str) -> Iterator[Any]:
    """The same queue as plain code and as asyncio has it."""
    if request.param == "sync":
        with Queue("email", url=redis_server.url, prefix=prefix) as plain:
            yield plain
        return
    with asyncio.Runner() as runner:
        other = AsyncQueue("email", url=redis_server.url, prefix=prefix)
        yield Awaited(other, runner)
        runner.run(other.close())


def take(r: redis.Redis, keys: Keys) -> str:
    job_id = r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
    assert isinstance(job_id, str)
    r.set(keys.lock(job_id), "token")
    r.hset(keys.job(job_id), "processedOn", int(time.time() * 1000) - 60_000)
    return job_id


def test_both_queues_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, Any]:
        return {name: inspect.signature(member) for name, member in vars(kind).items()
                if inspect.isfunction(member) and name[0] != "_"}  # fmt: skip

    plain, awaited = methods(QueueUpkeep), methods(AsyncQueueUpkeep)
    assert {name: str(how) for name, how in plain.items()} == {name: str(how) for name, how in awaited.items()}


def test_one_job_is_promoted_moved_changed_and_removed(queue: Any, r: redis.Redis, keys: Keys) -> None:
    late = queue.add("n", delay="1h").id
    queue.change_delay(late, "2h")
    assert int(r.hget(keys.job(late), "delay") or 0) == 7_200_000
    queue.promote(late)
    assert queue.get_state(late) == "waiting"
    queue.change_priority(late, 3)
    assert queue.get_state(late) == "prioritized"
    assert queue.counts_per_priority([0, 3, 4]) == {0: 0, 3: 1, 4: 0}
    queue.update_data(late, {"n": [1, None]})
    assert queue.get(late).data == {"n": [1, None]}
    queue.remove(late)
    assert queue.get_state(late) == "unknown"


def test_what_cannot_be_done_to_a_job_is_told_by_type(queue: Any, r: redis.Redis, keys: Keys) -> None:
    job = queue.add("n").id
    for act, code in ((queue.promote, "job-state"), (queue.retry, "job-state")):
        with pytest.raises(Refused) as caught:
            act(job)
        assert caught.value.code == code
    for act in (queue.retry, queue.promote, queue.remove, queue.cancel):
        with pytest.raises(NotThere):
            act("nobody")
    with pytest.raises(NotThere):
        queue.update_data("nobody", {})
    assert not r.exists(keys.job("nobody"))
    with pytest.raises(InputError, match="priority"):
        queue.change_priority(job, -1)
    with pytest.raises(InputError, match="data is a set"):
        queue.update_data(job, {1})
    take(r, keys)
    with pytest.raises(Refused, match="a worker runs it"):
        queue.remove(job)
    with pytest.raises(InputError, match="no such filter"):
        queue.retry_all(nmae="x")
    with pytest.raises(InputError, match="can be retried"):
        queue.retry_all(state="delayed")


def test_jobs_are_retried_removed_and_cancelled_by_filter(queue: Any, r: redis.Redis, keys: Keys) -> None:
    for number in range(5):
        put_failed(r, keys, f"f{number}", reason="timeout" if number < 3 else "boom", ago_ms=number * 60_000)
    assert queue.retry_all(error="time*", older="30s") == 2
    assert queue.remove_all(state="failed", limit=1) == 1
    assert queue.retry_all() == 2
    assert queue.counts()["waiting"] == 4
    running = take(r, keys)
    assert queue.cancel_all(running="30s") == 1
    assert r.hget(keys.job(running), "defa").startswith("cancelled by ")
    assert queue.cancel_all(state="waiting") == 3
    assert queue.cancel(running) is True
    with pytest.raises(Refused, match="has finished"):
        queue.cancel(queue.jobs("failed")[0].id)
    assert queue.promote_all() == 0


def test_a_queue_is_paused_emptied_cleaned_and_obliterated(queue: Any, r: redis.Redis, keys: Keys) -> None:
    queue.pause("deploy")
    assert r.hget(keys.meta, "jobd:paused_why") == "deploy"
    queue.resume()
    assert not r.hexists(keys.meta, "paused")
    for options in ({}, {"priority": 1}, {"delay": "1h"}):
        queue.add("n", **options)
    assert (queue.empty(), queue.empty(delayed=True)) == (2, 1)
    put_failed(r, keys, "old", ago_ms=60_000)
    put_failed(r, keys, "new")
    assert queue.clean("failed", older="30s") == ["old"]
    with pytest.raises(InputError, match="cannot clean"):
        queue.clean("waiting-children")
    queue.add("n")
    take(r, keys)
    with pytest.raises(Refused, match="1 of its jobs run"):
        queue.obliterate()
    assert not r.hexists(keys.meta, "paused")
    assert queue.obliterate(force=True) == 2
    assert r.keys(keys.base + "*") == []


def test_jobs_are_listed_in_bullmqs_order_by_state_and_rank(queue: Any, r: redis.Redis, keys: Keys) -> None:
    for number in range(3):
        queue.add("n", job_id=f"w{number}")
        put_failed(r, keys, f"f{number}", ago_ms=(3 - number) * 1000)

    def ids(*states: str, **how: Any) -> list[str]:
        return [job.id for job in queue.jobs(*states, **how)]

    assert ids("waiting", "failed") == ["w0", "w1", "w2", "f2", "f1", "f0"]
    assert ids("waiting", "failed", asc=False, stop=0) == ["w2", "f2"]
    assert ids("failed", asc=True, start=1, stop=1) == ["f1"]
    assert len(ids()) == 6
    with pytest.raises(InputError, match="no such state"):
        queue.jobs("borken")


def test_logs_and_metrics_are_read(queue: Any, r: redis.Redis, keys: Keys) -> None:
    job = queue.add("n").id
    r.rpush(keys.logs(job), "one", "two", "three")
    assert queue.logs(job, 1) == ["two", "three"]
    assert queue.metrics().data == []
    r.hset(f"{keys.base}metrics:failed", mapping={"count": 4, "prevTS": 9, "prevCount": 3})
    r.rpush(f"{keys.base}metrics:failed:data", 3, 0)
    found = queue.metrics("failed")
    assert (found.count, found.data, found.previous_count, found.previous_at) == (4, [3, 0], 3, 9)


def test_orphans_go_and_everything_that_is_somewhere_stays(queue: Any, r: redis.Redis, keys: Keys) -> None:
    for options in ({}, {"priority": 1}, {"delay": "1h"}):
        queue.add("n", **options)
    put_failed(r, keys, "f")
    queue.schedule("tick", every="1h")
    queue.pause()
    for scheduler in ("a:b:failed", "a:17:failed"):
        r.zadd(keys.repeat, {scheduler: 1})
        r.hset(f"{keys.base}repeat:{scheduler}", "ic", 1)
    r.set(keys.base + "de:a:b:lock", "1")
    r.hset(f"{keys.base}metrics:failed", "count", 1)
    kept = set(r.keys(keys.base + "*"))
    r.rpush(keys.logs("gone"), "line")
    r.sadd(f"{keys.base}gone:dependencies", "x")
    r.hset(f"{keys.base}repeat:gone:18:failed", "x", "y")
    r.set(f"{keys.base}a:b:c:lock", "token")
    for job_id in ("left", "repeat:gone:17"):
        r.hset(keys.job(job_id), mapping={"name": "n", "timestamp": 1})
        r.rpush(keys.logs(job_id), "line")
    r.hset(keys.base + "note", "of", "somebody")
    assert queue.remove_orphans() == 5
    assert set(r.keys(keys.base + "*")) == kept | {keys.base + "note"}


def test_a_job_of_another_program_is_waited_for(queue: Any, r: redis.Redis, keys: Keys) -> None:
    job = queue.add("n").id
    finish(r, keys, job, result='{"sent": 7}')
    if isinstance(queue, Queue):
        assert queue.handle(job).wait("10s") == {"sent": 7}
    else:
        assert queue.wait_for(queue.handle(job), "10s") == {"sent": 7}
