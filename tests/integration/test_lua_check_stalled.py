"""lua/check_stalled.lua: BullMQ's check for jobs whose worker is gone, on any host."""

from __future__ import annotations

from typing import Any

from jobd.engine.job import Recovered
from jobd.engine.locks import check_stalled
from tests.support.queue_of import NOW, QueueOf


def check(q: QueueOf, max_crashes: int = 1) -> Any:
    q.r.delete(q.keys.stalled_check)
    return q.run(check_stalled(q.keys, now_ms=NOW, interval_ms=30_000, max_crashes=max_crashes))


def test_a_check_marks_what_is_active_and_suppresses_the_next_one(q: QueueOf) -> None:
    q.put("1")
    q.take()
    before = q.tables()
    command = check_stalled(q.keys, now_ms=NOW, interval_ms=30_000, max_crashes=1)
    assert [q.run(command), q.run(command)] == [[], None]
    assert q.changed_since(before) == {"stalled": {"1"}, "stalled-check": str(NOW)}
    assert 0 < q.r.pttl(q.keys.stalled_check) <= 30_000


def test_jobs_without_a_lock_at_the_second_check_wait_again_in_their_order(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id)
    q.put("p", priority=5)
    q.take(4)
    check(q)
    q.r.delete(q.keys.lock("1"), q.keys.lock("2"), q.keys.lock("p"), q.keys.marker)
    before = q.tables()
    assert [job.job_id for job in check(q)] == ["p", "2", "1"]
    difference = q.changed_since(before)
    assert difference.pop("events") == [
        entry
        for job_id in ("p", "2", "1")
        for entry in ({"event": "waiting", "jobId": job_id, "prev": "active"}, {"event": "stalled", "jobId": job_id})
    ]
    assert difference == {
        "1": {**before[q.keys.job("1")], "stc": "1"},
        "2": {**before[q.keys.job("2")], "stc": "1"},
        "p": {**before[q.keys.job("p")], "stc": "1"},
        "wait": ["p", "2", "1"],
        "active": ["3"],
        "stalled": {"3"},
        "marker": {"0": 0.0},
    }


def test_over_the_limit_the_next_taker_is_told_to_fail_it(q: QueueOf) -> None:
    q.put("1", stc=1)
    q.take()
    check(q)
    q.r.delete(q.keys.lock("1"))
    assert check(q) == [Recovered("1", failed=True, suspect=False)]
    assert q.hash("1")["defa"] == "job stalled more than allowable limit"
    assert q.take()[0].deferred_failure == "job stalled more than allowable limit"


def test_the_job_of_a_living_scheduler_is_never_over_the_limit(q: QueueOf) -> None:
    q.put("1", stc=5, rjk="s")
    q.r.zadd(q.keys.repeat, {"s": NOW})
    q.take()
    check(q)
    q.r.delete(q.keys.lock("1"))
    assert check(q) == [Recovered("1", failed=False, suspect=False)]
    assert "defa" not in q.hash("1")


def test_a_job_that_ended_between_two_checks_is_let_be(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    check(q)
    q.r.delete(q.keys.lock("1"))
    q.r.lrem(q.keys.active, 1, job.id)
    q.r.lpush(q.keys.wait, job.id)
    before = q.tables()
    assert check(q) == []
    assert q.changed_since(before) == {"stalled": None}


def test_where_the_clock_was_set_back_what_should_have_ended_ends_in_time(q: QueueOf) -> None:
    hour_ms = 3_600_000
    q.put("1")
    q.put("2")
    q.take(2)
    q.r.pexpire(q.keys.lock("1"), hour_ms + 20_000)
    q.r.set(q.keys.limiter, "9", px=hour_ms + 1_000)
    q.r.set(q.keys.stalled_check, "then", px=hour_ms + 30_000)
    before = q.tables()
    command = check_stalled(q.keys, now_ms=NOW, interval_ms=30_000, max_crashes=1)
    found = q.run(command)
    assert hour_ms - 1_000 < found <= hour_ms
    assert q.changed_since(before) == {}
    ends = [q.r.pttl(key) for key in (q.keys.lock("1"), q.keys.limiter, q.keys.stalled_check)]
    for rest_ms, most_ms in zip(ends, (20_000, 1_000, 30_000), strict=True):
        assert most_ms - 1_000 < rest_ms <= most_ms + 1_000
    assert 29_000 < q.r.pttl(q.keys.lock("2")) <= 30_000, "one that lives holds its own"
    assert q.run(command) is None


def test_a_host_that_looks_more_rarely_keeps_its_pace(q: QueueOf) -> None:
    q.r.set(q.keys.stalled_check, "then", px=60_000)
    q.r.set(q.keys.limiter, "9", px=3_600_000)
    assert q.run(check_stalled(q.keys, now_ms=NOW, interval_ms=1_000, max_crashes=1)) is None
    assert q.r.pttl(q.keys.stalled_check) > 50_000
    assert q.r.pttl(q.keys.limiter) > 3_500_000


def test_a_check_that_recovers_nothing_makes_the_next_one_the_second(q: QueueOf) -> None:
    q.put("1")
    q.take()
    check(q)
    q.r.delete(q.keys.lock("1"), q.keys.stalled_check)
    command = check_stalled(q.keys, now_ms=NOW, interval_ms=30_000, max_crashes=1, recovers=False)
    before = q.tables()
    assert q.run(command) == []
    assert q.changed_since(before) == {"stalled-check": str(NOW)}
    assert [job.job_id for job in check(q)] == ["1"]
