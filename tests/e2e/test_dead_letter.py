"""A job that fails for good has one copy in the queue of `dead_letter`, whoever failed it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import redis

from tests.e2e.test_recovery import queue, starts
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.waiting import wait_until

Make = Callable[..., DaemonProcess]
Look = Callable[..., Jobs]
DEAD = 'dead_letter = "dead"'


def test_a_job_that_fails_for_good_is_copied_once_with_its_cause(
    make: Make, jobs: Look, r: redis.Redis, prefix: str
) -> None:
    make(queue("a", "fails", DEAD))
    a, dead = jobs("a"), jobs("dead")
    job = a.add({"userId": 7}, name="welcome", attempts=2, priority=5)
    a.wait_state(job, "failed")
    (copy,) = dead.ids("waiting")
    fields = dead.hash(copy)
    opts = json.loads(fields["opts"])
    assert (fields["name"], json.loads(fields["data"]), fields["failedReason"]) == ("welcome", {"userId": 7}, "fails")
    letter = opts["deadLetter"]
    assert letter.pop("failedAt") == int(a.hash(job)["finishedOn"])
    assert letter == {"queue": "a", "id": job, "reason": "fails", "attemptsMade": 2}
    assert "RuntimeError" in fields["stacktrace"]
    told = [event["event"] for _, event in r.xrange(f"{prefix}:dead:events")]
    assert told == ["added", "waiting"]
    assert a.state(job) == "failed"


def test_a_job_that_is_not_kept_is_copied_all_the_same(make: Make, jobs: Look) -> None:
    make(queue("a", "fails", DEAD))
    a, dead = jobs("a"), jobs("dead")
    job = a.add({"n": 1}, keep_failed=False)
    wait_until(lambda: dead.ids("waiting"))
    (copy,) = dead.ids("waiting")
    assert (json.loads(dead.hash(copy)["data"]), a.hash(job)) == ({"n": 1}, {})


def test_a_job_the_daemon_fails_after_crashes_is_copied_once(make: Make, jobs: Look) -> None:
    make(queue("a", "die", f"max_crashes = 1\n{DEAD}"))
    a, dead = jobs("a"), jobs("dead")
    job = a.add({})
    a.wait_state(job, "failed")
    (copy,) = dead.ids("waiting")
    fields = dead.hash(copy)
    assert fields["failedReason"].startswith("worker died: signal 9 (SIGKILL)")
    assert json.loads(fields["opts"])["deadLetter"]["id"] == job


def test_a_job_whose_worker_is_killed_over_its_timeout_is_copied_once(make: Make, jobs: Look) -> None:
    make(queue("a", "stubborn", f'timeout = "200ms"\nkill_after = "200ms"\n{DEAD}'))
    a, dead = jobs("a"), jobs("dead")
    a.wait_state(a.add({}), "failed")
    (copy,) = dead.ids("waiting")
    assert "timed out" in dead.hash(copy)["failedReason"]


def test_what_somebody_cancelled_is_no_dead_letter(make: Make, jobs: Look, tmp_path: Path) -> None:
    daemon = make(queue("a", "async_slow", DEAD))
    a, dead, mark = jobs("a"), jobs("dead"), tmp_path / "mark"
    job = a.add({"mark": str(mark)})
    waits = a.add({}, delay="1h")
    wait_until(lambda: starts(mark) == 1)
    daemon.call("job.cancel", queue="a", all=True)
    for cancelled in (job, waits):
        a.wait_state(cancelled, "failed")
    assert dead.ids("waiting") == []


def test_the_copy_can_be_handled_and_knows_where_it_comes_from(make: Make, jobs: Look) -> None:
    make(queue("a", "fails", DEAD) + queue("dead", "ok"))
    a, dead = jobs("a"), jobs("dead")
    a.wait_state(a.add({}), "failed")
    wait_until(lambda: dead.ids("completed"))
    assert [dead.result(job) for job in dead.ids("completed")] == [{"id": "1"}]
