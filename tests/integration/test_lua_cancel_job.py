"""lua/cancel_job.lua: what waits has failed, what runs carries the mark, and nobody runs it after that."""

from __future__ import annotations

from typing import Any

import pytest

from jobd.engine.admin import cancel_job, retry_job
from jobd.engine.codes import Code
from jobd.engine.locks import recover_jobs, renew_locks
from jobd.engine.runner import Command
from tests.support.queue_of import LOCK_MS, NOW, PREFIX, QueueOf

WHY = "cancelled by alice"


def cancel(q: QueueOf, job_id: str) -> Command[Any]:
    return cancel_job(q.keys, job_id, who="alice", now_ms=NOW)


@pytest.mark.parametrize("state", ["waiting", "paused", "prioritized", "delayed", "waiting-children"])
def test_a_job_that_waits_has_failed_without_an_attempt(q: QueueOf, state: str) -> None:
    if state == "delayed":
        q.put_delayed("1", NOW + 60_000)
    elif state == "paused":
        q.put_paused("1")
    else:
        q.put("1", priority=3 if state == "prioritized" else 0)
    if state == "waiting-children":
        q.r.lrem(q.keys.wait, 1, "1")
        q.r.zadd(q.keys.waiting_children, {"1": NOW})
    assert q.run(cancel(q, "1")) == Code.OK
    fields = q.r.hgetall(q.keys.job("1"))
    assert (fields["failedReason"], fields["finishedOn"], fields.get("atm")) == (WHY, str(NOW), None)
    assert q.r.zrange(q.keys.failed, 0, -1, withscores=True) == [("1", float(NOW))]
    shown = "waiting" if state == "paused" else state
    last = [event for _, event in q.r.xrange(q.keys.events)][-1]
    assert last == {"event": "failed", "jobId": "1", "failedReason": WHY, "prev": shown}
    assert q.ids(5) == []
    before = q.tables()
    assert q.run(cancel(q, "1")) == Code.WRONG_STATE
    assert q.changed_since(before) == {}


def test_a_cancelled_job_is_kept_as_it_says_and_frees_its_deduplication_id(q: QueueOf) -> None:
    q.put("1", opts='{"removeOnFail": true}', deid="d")
    q.r.set(q.keys.base + "de:d", "1")
    assert q.run(cancel(q, "1")) == Code.OK
    assert not q.r.exists(q.keys.job("1"), q.keys.base + "de:d", q.keys.failed)


def test_a_running_job_is_marked_and_its_holder_told_at_the_renewal(q: QueueOf) -> None:
    q.put("1")
    q.put("2")
    first, second = q.take(2)
    before = q.tables()
    assert q.run(cancel(q, "1")) == 1
    assert list(q.changed_since(before)) == ["1"]
    # A child that failed leaves the same field: that run goes on.
    q.r.hset(q.keys.job("2"), "defa", "child bull:c:1 failed")
    held = [(first.id, first.token), (second.id, second.token)]
    assert q.run(renew_locks(q.keys, held, LOCK_MS)) == [WHY, 1]


def test_a_marked_job_that_comes_back_all_the_same_is_taken_to_be_failed(q: QueueOf) -> None:
    q.put("1")
    q.take()
    q.run(cancel(q, "1"))
    q.run(recover_jobs(q.keys, PREFIX, begun=[], counted=False, max_crashes=1, reason="x", now_ms=NOW))
    (again,) = q.take()
    assert again.deferred_failure == WHY


def test_a_retry_by_hand_forgets_that_it_was_cancelled(q: QueueOf) -> None:
    q.put("1")
    q.take()
    q.run(cancel(q, "1"))
    q.r.lrem(q.keys.active, 1, "1")
    q.r.zadd(q.keys.completed, {"1": NOW})
    assert q.run(retry_job(q.keys, "1")) == Code.OK
    (again,) = q.take()
    assert again.deferred_failure is None


def test_the_next_job_of_a_scheduler_and_what_is_none_stay(q: QueueOf) -> None:
    q.put_delayed("repeat:tick:1795486615995", NOW + 60_000, rjk="tick")
    q.r.zadd(q.keys.repeat, {"tick": 1795486615995})
    before = q.tables()
    assert q.run(cancel(q, "repeat:tick:1795486615995")) == Code.SCHEDULER_JOB
    assert q.run(cancel(q, "nobody")) == Code.MISSING_JOB
    assert q.changed_since(before) == {}


def test_a_parent_learns_that_its_child_failed(q: QueueOf) -> None:
    parent = q.keys.job("P")
    q.put("C", parentKey=parent, parent=f'{{"id":"P","queueKey":"{q.keys.qualified}","idof":true}}')
    q.r.hset(parent, mapping={"name": "p", "timestamp": NOW})
    q.r.zadd(q.keys.waiting_children, {"P": NOW})
    q.r.sadd(f"{parent}:dependencies", q.keys.job("C"))
    assert q.run(cancel(q, "C")) == Code.OK
    assert q.r.hgetall(f"{parent}:failed") == {q.keys.job("C"): WHY}
    assert q.ids() == ["P"]
