"""`jobd worker …`, `job stack` and `queue reset` on a daemon at work."""

from __future__ import annotations

import pytest

from tests.support.daemon_process import Failed, alive
from tests.support.waiting import wait_until

QUEUES = """
[queues.a]
handler = "daemon_handlers:slow"
[queues.b]
handler = "daemon_handlers:async_slow"
[queues.gil]
handler = "daemon_handlers:hold_gil"
lock_duration = "2s"
[queues.die]
handler = "daemon_handlers:die"
max_crashes = 9
breaker = { crashes = 1, within = "10m", retry = "10m" }
"""


@pytest.fixture
def daemon(make):
    return make(QUEUES)


def _running(daemon, jobs, name, **data):
    queue = jobs(name)
    job = queue.add(data)
    queue.wait_state(job, "active")
    wait_until(lambda: daemon.queue(name)["busy"] == 1)
    return queue, job, daemon.worker_pids(name)[0]


@pytest.mark.parametrize(("name", "function"), [("a", "slow"), ("b", "async_slow")])
def test_the_stack_of_a_job_names_its_line_and_that_of_its_worker_all_threads(daemon, jobs, short_tmp, name, function):
    until = short_tmp / "until"
    queue, job, pid = _running(daemon, jobs, name, until=str(until), s=3)
    found = daemon.call("job.stack", queue=name, id=job)
    assert (found["pid"], f"in {function}" in found["stack"]) == (pid, True)
    assert found["stack"].count(" runs job ") == 1
    everything = daemon.call("worker.stack", pid=pid)["stack"]
    assert "thread jobd-loop" in everything or "thread MainThread" in everything
    assert f"runs job {job} (x)" in everything
    assert daemon.call("worker.show", pid=pid)["worker"]["jobs"][0]["id"] == job
    until.touch()
    queue.wait_state(job, "completed")
    with pytest.raises(Failed, match="no worker of this host runs job") as refused:
        daemon.call("job.stack", queue=name, id=job)
    assert refused.value.exit == 1


def test_a_worker_whose_loop_a_handler_holds_prints_its_stack(daemon, jobs):
    _, job, pid = _running(daemon, jobs, "gil", s=8)
    stack = daemon.call("job.stack", queue="gil", id=job)["stack"]
    assert "in hold_gil" in stack
    assert daemon.call("worker.show", pid=pid)["worker"]["pid"] == pid


def test_a_restarted_worker_has_its_replacement_first_and_finishes_its_job(daemon, jobs, short_tmp):
    until = short_tmp / "until"
    queue, job, pid = _running(daemon, jobs, "a", until=str(until))
    found = daemon.call("worker.restart", pid=pid)
    assert (found["queue"], found["was"]) == ("a", pid)
    assert daemon.worker_pids("a") == [found["pid"]]
    assert daemon.worker_pids("a", "draining") == [pid]
    until.touch()
    assert queue.wait_state(job, "completed")["ats"] == "1"
    wait_until(lambda: not daemon.worker_pids("a", "draining"), what="the daemon knows of its end")
    with pytest.raises(Failed, match="no worker of this host has pid") as refused:
        daemon.call("worker.restart", pid=pid)
    assert (refused.value.exit, refused.value.error["data"]["code"]) == (1, "worker-unknown")


def test_a_killed_worker_counts_against_nobody(daemon, jobs, short_tmp):
    until = short_tmp / "until"
    queue, job, pid = _running(daemon, jobs, "a", until=str(until))
    assert daemon.call("worker.kill", pid=pid) == {"schema": 1, "queue": "a", "pid": pid, "jobs": [job]}
    assert not alive(pid)
    until.touch()
    fields = queue.wait_state(job, "completed")
    assert (fields.get("stc"), fields["atm"]) == (None, "1")
    assert daemon.status()["state"] == "ready"


def test_a_reset_starts_what_the_breaker_holds(daemon, jobs):
    queue = jobs("die")
    queue.add({"how": "exit"})
    wait_until(lambda: daemon.queue("die")["state"] == "breaker", 10)
    assert "1 crash in" in daemon.call("queue.reset", queue="die")["was"]
    wait_until(lambda: len(daemon.logged("queue held back")) == 2, 10)
    assert daemon.call("queue.reset", queue="a") == {"schema": 1, "queue": "a", "was": None}


def test_drift_says_who_when_and_why(daemon):
    daemon.call("queue.scale", queue="a", to="2", reason="sale")
    daemon.call("queue.quiet", queue="b", reason="backup")
    scaled, quiet = daemon.status()["drift"]
    assert scaled.startswith("a scaled 1 -> 2 at runtime by ")
    assert '"sale"' in scaled
    assert quiet.startswith("b quiet at runtime by ")
    assert '"backup"' in quiet
    assert " ago" in quiet
