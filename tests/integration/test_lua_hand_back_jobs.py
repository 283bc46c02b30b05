"""lua/hand_back_jobs.lua: what a stopped worker leaves."""

from __future__ import annotations

from jobd.engine.admin import retry_job
from jobd.engine.locks import hand_back_jobs
from tests.support.queue_of import PREFIX, QueueOf, failed


def test_jobs_go_back_to_the_front_in_their_order_uncounted(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id, atm=1)
    q.put("p", priority=5)
    q.take(2)
    q.r.delete(q.keys.marker)
    before = q.tables()
    command = hand_back_jobs(q.keys, PREFIX)
    assert q.run(command) == [("2", 1), ("1", 1)]
    assert q.changed_since(before) == {
        **{job_id: {**q.hash(job_id), "jobdback": "1"} for job_id in ("1", "2")},
        "1:lock": None,
        "2:lock": None,
        "active": None,
        "wait": ["3", "2", "1"],
        "marker": {"0": 0.0},
        "events": [{"event": "waiting", "jobId": job_id, "prev": "active"} for job_id in ("2", "1")],
    }
    before = q.tables()
    assert q.run(command) == []
    assert q.changed_since(before) == {}


def test_a_prioritized_job_goes_before_its_equals_and_wakes_somebody(q: QueueOf) -> None:
    q.put("1", priority=5)
    q.put("2", priority=5)
    q.take()
    q.r.delete(q.keys.marker)
    assert q.run(hand_back_jobs(q.keys, PREFIX)) == [("1", 1)]
    assert q.r.zrange(q.keys.prioritized, 0, -1, withscores=True) == [("1", 5.0 * 2**32), ("2", 5.0 * 2**32 + 2)]
    assert q.r.zrange(q.keys.marker, 0, -1) == ["0"]


def test_jobs_of_another_worker_stay(q: QueueOf) -> None:
    q.put("1")
    q.take(prefix="incarnation1:w2:")
    before = q.tables()
    assert q.run(hand_back_jobs(q.keys, PREFIX)) == []
    assert q.changed_since(before) == {}


def test_each_time_is_counted_and_a_retry_by_hand_begins_anew(q: QueueOf) -> None:
    q.put("1")
    for times in (1, 2, 3):
        q.take()
        assert q.run(hand_back_jobs(q.keys, PREFIX)) == [("1", times)]
    (job,) = q.take()
    q.turn(failed(job))
    assert q.hash("1")["jobdback"] == "3"
    q.run(retry_job(q.keys, "1"))
    assert "jobdback" not in q.hash("1")


def test_a_count_that_is_no_number_keeps_no_job_from_its_queue(q: QueueOf) -> None:
    q.put("1", jobdback="x")
    q.take()
    assert q.run(hand_back_jobs(q.keys, PREFIX)) == [("1", 1)]
    assert q.wait() == ["1"]
