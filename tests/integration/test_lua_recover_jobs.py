"""lua/recover_jobs.lua: what becomes of the jobs of a dead worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobd.engine.job import KEEP_ALL, KEEP_NONE, Keep, Recovered
from jobd.engine.locks import recover_jobs
from tests.support.queue_of import NOW, PREFIX, QueueOf


def recover(
    q: QueueOf, *begun: str, ats: int = 1, counted: bool = True, max_crashes: int = 1, keep: Keep = KEEP_ALL
) -> Any:
    command = recover_jobs(
        q.keys, PREFIX, begun=[(job_id, ats) for job_id in begun], counted=counted, max_crashes=max_crashes,
        reason="worker died: signal 9", now_ms=NOW, keep=keep,
    )  # fmt: skip
    first = q.run(command)
    between = q.tables()
    assert q.run(command) == []
    assert q.changed_since(between) == {}
    return first


def test_a_job_that_had_started_waits_again_counted(q: QueueOf) -> None:
    q.put("1", priority=4, atm=1)
    q.take()
    q.r.delete(q.keys.marker)
    q.r.sadd(q.keys.stalled, "1")
    before = q.tables()
    assert recover(q, "1") == [Recovered("1", failed=False, suspect=False)]
    assert q.changed_since(before) == {
        "1": {**before[q.keys.job("1")], "stc": "1"},
        "1:lock": None,
        "active": None,
        "stalled": None,
        "wait": ["1"],
        "marker": {"0": 0.0},
        "events": [{"event": "waiting", "jobId": "1", "prev": "active"}, {"event": "stalled", "jobId": "1"}],
    }


@pytest.mark.parametrize(("counted", "started"), [(False, ("1",)), (True, ())])
def test_a_job_that_is_not_to_blame_waits_again_uncounted(q: QueueOf, counted: bool, started: tuple[str, ...]) -> None:
    q.put("1")
    q.take()
    before = q.tables()
    assert recover(q, *started, counted=counted, max_crashes=0) == [Recovered("1", failed=False, suspect=False)]
    assert q.changed_since(before) == {
        "1:lock": None,
        "active": None,
        "wait": ["1"],
        "events": [{"event": "waiting", "jobId": "1", "prev": "active"}],
    }


def test_jobs_lost_together_run_again_in_their_order_as_suspects(q: QueueOf) -> None:
    for job_id in ("1", "2", "3", "4"):
        q.put(job_id)
    q.take(2)
    q.take(1)
    found = recover(q, "1", "3")
    assert [(job.job_id, job.suspect) for job in found] == [("3", True), ("2", False), ("1", True)]
    assert q.wait() == ["1", "2", "3", "4"]
    assert (q.hash("1")["sus"], q.hash("2").get("sus"), q.hash("2").get("stc")) == ("1", None, None)


def test_over_max_crashes_a_job_fails_with_the_cause_and_its_neighbour_does_not(q: QueueOf) -> None:
    q.put("1", stc=1, defa="x", stacktrace='["old/1"]', opts='{"attempts":3,"stackTraceLimit":2}')
    q.put("2")
    q.take(2)
    before = q.tables()
    found = recover(q, "1", "2")
    assert [(job.job_id, job.failed) for job in found] == [("2", False), ("1", True)]
    hash_before = {name: v for name, v in before[q.keys.job("1")].items() if name != "defa"}
    difference = q.changed_since(before)
    assert difference["1"] == {
        **hash_before, "stc": "2", "atm": "1", "failedReason": "worker died: signal 9", "finishedOn": str(NOW),
        "stacktrace": '["old\\/1","worker died: signal 9"]',
    }  # fmt: skip
    assert difference["failed"] == {"1": float(NOW)}
    assert q.events()[-1] == "failed 1 failedReason=worker died: signal 9 prev=active"
    assert q.wait() == ["2"]


def test_the_first_crash_fails_where_none_is_allowed(q: QueueOf) -> None:
    q.put("1", deid="d", opts="{}")
    q.r.set(f"{q.keys.base}de:d", "1")
    q.take()
    assert recover(q, "1", max_crashes=0)[0].failed
    assert q.events()[-3:] == [
        "failed 1 failedReason=worker died: signal 9 prev=active", "retries-exhausted 1 attemptsMade=1", "drained",
    ]  # fmt: skip
    assert not q.r.exists(f"{q.keys.base}de:d")


@pytest.mark.parametrize(
    ("opts", "keep", "kept"),
    [("{}", KEEP_ALL, True), ("{}", KEEP_NONE, False), ('{"removeOnFail":false}', KEEP_NONE, True),
     ('{"removeOnFail":true}', KEEP_ALL, False), ("not json", KEEP_ALL, True),
     ('{"removeOnFail":{"count":0}}', KEEP_ALL, False)],
)  # fmt: skip
def test_the_jobs_own_rule_decides_whether_it_is_kept(q: QueueOf, opts: str, keep: Keep, kept: bool) -> None:
    q.put("1", opts=opts)
    q.take()
    recover(q, "1", max_crashes=0, keep=keep)
    assert q.r.exists(q.keys.job("1")) == kept
    assert q.r.zcard(q.keys.failed) == kept


@pytest.mark.parametrize(
    "opts",
    ['{"stackTraceLimit":-1,"attempts":[],"removeOnFail":"x"}', "[1]", "[" * 2_000, '{"removeOnFail":{"age":1e400}}'],
)
def test_junk_in_the_options_or_traces_does_not_hold_recovery_up(q: QueueOf, opts: str) -> None:
    q.put("1", opts=opts, stacktrace='{"a":[1]}', stc="junk")
    q.take()
    assert recover(q, "1", max_crashes=0)[0].failed
    assert json.loads(q.hash("1")["stacktrace"]) in ([], ["worker died: signal 9"])


def test_jobs_of_other_workers_are_not_touched(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id)
    q.take(1, prefix="incarnation1:w11:")
    q.take(1)
    q.take(1, prefix="incarnation2:w1:")
    before = q.tables()
    assert [job.job_id for job in recover(q)] == ["2"]
    assert set(q.changed_since(before)) == {"2:lock", "active", "wait", "events"}


def test_a_started_job_whose_lock_ran_out_is_recovered_too(q: QueueOf) -> None:
    q.put("1")
    q.put("2")
    q.take(2)
    q.r.delete(q.keys.lock("1"))
    assert [job.job_id for job in recover(q, "1", "2", "gone")] == ["2", "1"]
    assert q.wait() == ["1", "2"]


@pytest.mark.parametrize("is_locked", [True, False])
def test_a_job_that_another_worker_has_taken_since_is_left_to_it_also_when_its_lock_ran_out(
    q: QueueOf, is_locked: bool
) -> None:
    """An outage longer than a lock came between two looks at what a dead worker held: its job ran twice at once."""
    q.put("1")
    q.take()
    assert [job.job_id for job in recover(q, "1")] == ["1"]
    q.take(prefix="incarnation1:w2:")
    if not is_locked:
        q.r.delete(q.keys.lock("1"))
    before = q.tables()
    assert recover(q, "1") == []
    assert q.changed_since(before) == {}


def test_a_death_is_held_against_the_take_that_had_begun_and_no_later_one(q: QueueOf) -> None:
    q.put("1", ats=1)
    q.take()
    assert recover(q, "1", ats=1, max_crashes=0) == [Recovered("1", failed=False, suspect=False)]
    q.take()
    assert recover(q, "1", ats=3, max_crashes=0) == [Recovered("1", failed=True, suspect=False)]


def test_a_paused_queue_gets_no_marker(q: QueueOf) -> None:
    q.put("1")
    q.take()
    q.r.hset(q.keys.meta, "paused", "1")
    q.r.delete(q.keys.marker)
    recover(q)
    assert not q.r.exists(q.keys.marker)


def test_an_active_id_without_a_hash_is_dropped(q: QueueOf) -> None:
    q.put("1")
    q.take()
    q.r.delete(q.keys.job("1"))
    assert recover(q, "1") == []
    assert not q.r.exists(q.keys.lock("1"), q.keys.job("1"), q.keys.active)


def test_more_than_a_thousand_active_jobs_are_looked_through(q: QueueOf) -> None:
    for number in range(1_200):
        q.put(f"j{number}")
    q.take(1)
    for _ in range(3):
        q.take(400, prefix="incarnation1:w2:")
    assert [job.job_id for job in recover(q)] == ["j0"]
