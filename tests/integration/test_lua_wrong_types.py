"""Keys of a wrong type: a job's own harm nobody else, a queue's cost no job its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobd.engine.adding import add_flow, add_job, add_jobs
from jobd.engine.admin import retry_job
from jobd.engine.job import Finish, KeyLimit, Taken
from jobd.engine.job_changes import change_priority
from jobd.engine.keys import Keys
from jobd.engine.locks import check_stalled, hand_back_jobs, recover_jobs
from jobd.engine.options import new_job
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


@pytest.mark.parametrize("limit", [None, KeyLimit("tenant", 1)], ids=["plain", "per key"])
def test_delayed_job_whose_hash_became_a_string_costs_no_other_its_place(q: QueueOf, limit: KeyLimit | None) -> None:
    for number, job_id in enumerate("123"):
        q.put_delayed(job_id, NOW - 3 + number)
    q.r.set(q.keys.job("2"), "x")
    assert q.ids(3, per_key=limit) == ["1", "3"]
    q.r.delete(q.keys.job("2"))
    q.assert_sound()


def test_spoiled_priority_counter_starts_anew(q: QueueOf) -> None:
    q.put_delayed("1", NOW, priority=3)
    q.r.lpush(f"{q.keys.base}pc", "x")
    assert q.ids() == ["1"]
    q.assert_sound()


ADDS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "plain": ("wait", [{}]),
    "many": ("wait", [{}, {}, {}]),
    "custom": ("wait", [{"job_id": "a"}]),
    "deduplicated": ("wait", [{"deduplicate": "d"}]),
    "delayed": ("delayed", [{"delay": 1000}]),
    "prioritized": ("prioritized", [{"priority": 2}]),
    "mixed": ("delayed", [{}, {"job_id": "b"}, {"delay": 1000}]),
}


@pytest.mark.parametrize("name", ["events", "marker", "its place"])
@pytest.mark.parametrize("add", ADDS)
def test_an_add_that_is_refused_leaves_nothing_behind(q: QueueOf, name: str, add: str) -> None:
    place, options = ADDS[add]
    q.put("99")
    mend = spoil(q, place if name == "its place" else name)
    before = q.tables()
    jobs = [new_job("n", {}, more, now_ms=NOW) for more in options]
    command: Any = add_job(q.keys, jobs[0]) if len(jobs) == 1 else add_jobs(q.keys, jobs)
    assert refused(q, lambda: q.run(command))
    # A marker more is an empty take; a number that no job has got is none that anybody misses.
    assert q.changed_since(before).keys() <= {"id", "marker"}
    mend()
    q.assert_sound()


def test_a_flow_that_is_refused_leaves_nothing_behind(q: QueueOf) -> None:
    parent, child = (new_job(name, {}, {"job_id": name}, now_ms=NOW) for name in ("parent", "child"))
    parent.children = True
    other = Keys(q.prefix, "other")
    q.r.set(other.wait, "x")
    before = q.tables()
    assert refused(q, lambda: q.run(add_flow([(q.keys, parent), (other, child)], NOW)))
    assert not q.changed_since(before)
