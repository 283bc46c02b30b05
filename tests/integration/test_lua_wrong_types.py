"""Keys of a wrong type: a job's own harm nobody else, a queue's cost no job its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobd.engine.admin import retry_job
from jobd.engine.job import Finish, Taken
from jobd.engine.job_changes import change_priority
from jobd.engine.locks import check_stalled, hand_back_jobs, recover_jobs
from jobd.engine.states import Outcome
from jobd.errors import RedisRefused
from tests.support.queue_of import NOW, PREFIX, QueueOf, done

PLACES = ("wait", "active", "prioritized", "delayed", "completed", "failed")

FINISHES: dict[str, Callable[[Taken], Finish]] = {
    "the short way": done,
    "the long way": lambda job: Finish(job.id, job.token, Outcome.COMPLETED, b"1"),
    "failed": lambda job: Finish(job.id, job.token, Outcome.FAILED, b"boom"),
    "retried": lambda job: Finish(job.id, job.token, Outcome.RETRY, b"boom", attempts=3),
    "delayed": lambda job: Finish(job.id, job.token, Outcome.LATER, delay_ms=1000),
}


def spoil(q: QueueOf, name: str) -> Callable[[], object]:
    """Put a string where the key is; return what puts the key back."""
    key = q.keys.base + name
    kept = q.r.exists(key)
    if kept:
        q.r.rename(key, f"{q.prefix}-kept")
    q.r.set(key, "x")
    return lambda: q.r.rename(f"{q.prefix}-kept", key) if kept else q.r.delete(key)


def refused(q: QueueOf, act: Callable[[], object]) -> bool:
    try:
        act()
    except RedisRefused:
        return True
    return False


@pytest.mark.parametrize("name", [*PLACES, "events", "stalled", "marker"])
@pytest.mark.parametrize("finish", FINISHES)
def test_spoiled_queue_key_costs_no_finish_and_no_take(q: QueueOf, name: str, finish: str) -> None:
    q.put("1")
    q.put("2", priority=1)
    q.put("3")
    (job,) = q.take()
    q.put_delayed("due", NOW)
    mend = spoil(q, name)
    for _ in range(2):
        refused(q, lambda: q.turn(FINISHES[finish](job), take=1, prefix="other:w:"))
    mend()
    q.assert_sound()


@pytest.mark.parametrize("name", [*PLACES, "events", "stalled", "marker"])
@pytest.mark.parametrize("act", ["recovered", "handed back", "stalled"])
def test_spoiled_queue_key_costs_no_recovery(q: QueueOf, name: str, act: str) -> None:
    q.put("1")
    q.take()
    q.r.sadd(q.keys.stalled, "1")
    if act == "stalled":
        q.r.delete(q.keys.lock("1"))
    acts: dict[str, Any] = {
        "recovered": recover_jobs(
            q.keys, PREFIX, begun=[("1", 1)], counted=True, max_crashes=0, reason="x", now_ms=NOW
        ),
        "handed back": hand_back_jobs(q.keys, PREFIX),
        "stalled": check_stalled(q.keys, now_ms=NOW, interval_ms=1000, max_crashes=1),
    }
    mend = spoil(q, name)
    refused(q, lambda: q.run(acts[act]))
    mend()
    q.assert_sound()


@pytest.mark.parametrize("name", ["wait", "prioritized", "events", "marker"])
@pytest.mark.parametrize("act", ["retried", "moved"])
@pytest.mark.parametrize("priority", [0, 1])
def test_spoiled_queue_key_costs_no_job_that_is_moved(q: QueueOf, name: str, act: str, priority: int) -> None:
    q.put("1", priority=priority if act == "retried" else 1 - priority)
    if act == "retried":
        (job,) = q.take()
        q.turn(FINISHES["failed"](job))
    mend = spoil(q, name)
    acts = {"retried": retry_job(q.keys, "1"), "moved": change_priority(q.keys, "1", priority=priority)}
    refused(q, lambda: q.run(acts[act]))
    mend()
    q.assert_sound()


@pytest.mark.parametrize("sub_key", ["dependencies", "unsuccessful"])
@pytest.mark.parametrize("finish", ["the short way", "the long way"])
def test_spoiled_children_of_one_job_hold_nobody_up(q: QueueOf, sub_key: str, finish: str) -> None:
    q.put("1")
    q.put("2")
    jobs = q.take(2)
    q.r.set(f"{q.keys.job('1')}:{sub_key}", "x")
    assert q.turn(*map(FINISHES[finish], jobs)).codes == [0, 0]
    q.assert_sound()


@pytest.mark.parametrize("key", ["de:d", "dn:d"])
def test_spoiled_deduplication_keys_hold_nobody_up(q: QueueOf, key: str) -> None:
    q.put("1", deid="d")
    (job,) = q.take()
    q.r.lpush(q.keys.base + key, "x")
    assert q.turn(FINISHES["the long way"](job)).codes == [0]
    q.assert_sound()


@pytest.mark.parametrize("finish", FINISHES)
def test_job_whose_hash_became_a_string_holds_nobody_up(q: QueueOf, finish: str) -> None:
    q.put("1")
    q.put("2")
    first, second = q.take(2)
    q.r.set(q.keys.job("1"), "x")
    assert q.turn(FINISHES[finish](first), done(second)).codes[1] == 0
    assert q.r.zrange(q.keys.completed, 0, -1)[-1] == "2"
    q.r.delete(q.keys.job("1"), q.keys.lock("1"))
    q.r.lrem(q.keys.active, 0, "1")
    q.r.zrem(q.keys.completed, "1")


def test_spoiled_priority_counter_starts_anew(q: QueueOf) -> None:
    q.put_delayed("1", NOW, priority=3)
    q.r.lpush(f"{q.keys.base}pc", "x")
    assert q.ids() == ["1"]
    q.assert_sound()
