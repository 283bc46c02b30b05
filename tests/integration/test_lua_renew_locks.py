"""lua/renew_locks.lua, renew_prefix.lua and adopt_jobs.lua: who holds what, and for how long."""

from __future__ import annotations

import pytest

from jobd.engine.locks import adopt_jobs, renew_locks, renew_prefix
from tests.support.queue_of import LOCK_MS, PREFIX, QueueOf


def test_a_lock_of_ours_lives_longer_and_is_no_stalled_candidate(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    q.r.sadd(q.keys.stalled, "1", "other")
    before = q.tables()
    command = renew_locks(q.keys, [(job.id, job.token)], LOCK_MS * 2)
    assert [q.run(command), q.run(command)] == [[1], [1]]
    assert q.r.pttl(q.keys.lock("1")) > LOCK_MS
    assert q.changed_since(before) == {"stalled": {"other"}}


def test_a_missing_lock_is_taken_again_while_nobody_took_the_job(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    before = q.tables()
    q.r.delete(q.keys.lock("1"))
    assert q.run(renew_locks(q.keys, [(job.id, job.token)], LOCK_MS)) == [1]
    assert q.changed_since(before) == {}
    assert q.r.pttl(q.keys.lock("1")) > 0


@pytest.mark.parametrize(("harm", "code"), [("retaken", -6), ("older-attempt", -2), ("not-active", -2), ("gone", -1)])
def test_a_lock_that_is_lost_stays_lost(q: QueueOf, harm: str, code: int) -> None:
    q.put("1")
    q.put("2")
    first, second = q.take(2)
    q.r.delete(q.keys.lock("1"))
    match harm:
        case "retaken":
            q.r.set(q.keys.lock("1"), "other:1")
        case "older-attempt":
            q.r.hset(q.keys.job("1"), "ats", "2")
        case "not-active":
            q.r.lrem(q.keys.active, 1, "1")
            q.r.lpush(q.keys.wait, "1")
        case "gone":
            q.r.delete(q.keys.job("1"))
            q.r.lrem(q.keys.active, 1, "1")
    before = q.tables()
    assert q.run(renew_locks(q.keys, [(first.id, first.token), (second.id, second.token)], LOCK_MS)) == [code, 1]
    assert q.changed_since(before) == {}


def test_everything_under_a_prefix_is_renewed(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id)
    q.take(2)
    q.take(1, prefix="incarnation1:w11:")
    q.r.sadd(q.keys.stalled, "1", "3")
    before = q.tables()
    command = renew_prefix(q.keys, PREFIX, LOCK_MS * 2)
    assert [q.run(command), q.run(command)] == [["2", "1"], ["2", "1"]]
    assert q.changed_since(before) == {"stalled": {"3"}}
    assert q.r.pttl(q.keys.lock("1")) > LOCK_MS >= q.r.pttl(q.keys.lock("3"))


def test_a_worker_adopts_what_it_holds_and_does_not_know(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id, data=f'"{job_id}"')
    taken = q.take(3)
    before = q.tables()
    command = adopt_jobs(q.keys, PREFIX, ["2"], LOCK_MS * 2)
    assert q.run(command) == [taken[0], taken[2]]
    assert q.run(command) == [taken[0], taken[2]]
    assert q.changed_since(before) == {}
    assert q.r.pttl(q.keys.lock("2")) > LOCK_MS


def test_looking_at_what_a_worker_holds_can_leave_the_locks_alone(q: QueueOf) -> None:
    q.put("1")
    q.take()
    q.r.pexpire(q.keys.lock("1"), 9_000)
    assert [job.id for job in q.run(adopt_jobs(q.keys, PREFIX, ()))] == ["1"]
    assert q.r.pttl(q.keys.lock("1")) <= 9_000
