"""Batches in real workers: what one call gets, and what becomes of each job when the call ends badly."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.waiting import wait_until


def table(handler: str, batch: str, more: str = "") -> str:
    return f'[queues.a]\nhandler = "daemon_handlers:{handler}"\nlock_duration = "1s"\nbatch = {{ {batch} }}\n{more}\n'


def starts(mark: Path) -> list[str]:
    return mark.read_text().splitlines() if mark.exists() else []


@pytest.mark.parametrize(
    ("handler", "more"),
    [("batch", ""), ("async_batch", ""), ("batch", 'mode = "process"')],
    ids=["thread", "async", "process"],
)
def test_one_call_gets_up_to_max_jobs_in_every_mode(make, jobs, handler, more):
    a = jobs("a")
    ids = [a.add({}) for _ in range(10)]
    make(table(handler, "max = 4", more))
    assert [a.result(job) for job in ids] == [4] * 8 + [2] * 2


def test_concurrency_counts_calls(make, jobs, tmp_path):
    a, until, mark = jobs("a"), tmp_path / "until", tmp_path / "mark"
    ids = [a.add({"s": 30, "until": str(until), "mark": str(mark)}) for _ in range(12)]
    daemon = make(table("batch", "max = 4", "concurrency = 2"))
    wait_until(lambda: len(starts(mark)) == 8)
    assert len(a.ids("active")) == 8
    assert daemon.queue("a")["busy"] == 8
    until.touch()
    assert [a.result(job) for job in ids] == [4] * 12


def test_after_the_first_job_it_waits_for_more(make, jobs):
    make(table("batch", 'max = 5, wait = "20s"'))
    a = jobs("a")
    ids = []
    for _ in range(5):
        ids.append(a.add({}))
        wait_until(lambda: len(a.ids("active")) in (len(ids), 0))  # taken while the batch is gathered
    assert [a.result(job) for job in ids] == [5] * 5


def test_the_wait_is_over_when_it_is_over(make, jobs):
    make(table("batch", 'max = 5, wait = "100ms"'))
    a = jobs("a")
    ids = [a.add({}) for _ in range(2)]
    assert sum(1 / size for size in (a.result(job) for job in ids)) in (1, 2)  # one call of two, or two of one


@pytest.mark.parametrize("handler", ["async_batch", "batch"])
def test_the_timeout_is_that_of_the_call(make, jobs, handler):
    a = jobs("a")
    ids = [a.add({"s": 60}) for _ in range(3)]
    make(table(handler, "max = 3", 'timeout = "200ms"\nkill_after = "20s"'))
    for job in ids:
        assert a.wait_state(job, "failed")["failedReason"] == "timed out after 200ms"


def test_a_call_that_outlives_kill_after_costs_every_job_its_attempt(make, jobs):
    a = jobs("a")
    ids = [a.add({}) for _ in range(3)]
    daemon = make(table("stuck_batch", "max = 3", 'timeout = "100ms"\nkill_after = "100ms"'))
    for job in ids:
        fields = a.wait_state(job, "failed")
        assert fields["failedReason"].startswith("timed out after 100ms; the handler did not stop")
        assert fields["atm"] == "1"
    assert daemon.logged("job outlives its timeout, worker killed")


def test_jobs_of_a_batch_that_lost_its_worker_run_alone_next_and_the_guilty_one_fails(make, jobs):
    a = jobs("a")
    ids = [a.add({"dies": number == 2}) for number in range(4)]
    make(table("batch", 'max = 4, wait = "1s"', "max_crashes = 1\nbreaker = false"))
    assert a.wait_state(ids[2], "failed", 20)["failedReason"].startswith("worker died: signal 9")
    for job in (ids[0], ids[1], ids[3]):
        assert a.result(job, 20) == 1
        assert a.hash(job)["stc"] == "1"


def test_a_stop_hands_every_job_of_the_batch_back_uncounted(make, jobs, tmp_path):
    a, mark = jobs("a"), tmp_path / "mark"
    ids = [a.add({"s": 60, "mark": str(mark)}) for _ in range(3)]
    daemon = make(table("batch", "max = 3"))
    wait_until(lambda: len(starts(mark)) == 3)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGQUIT)
    daemon.process.wait(20)
    assert list(reversed(a.ids("waiting"))) == ids
    assert {a.hash(job).get("atm") for job in ids} <= {None, "0"}


def test_jobs_that_are_gathered_when_the_daemon_stops_go_back(make, jobs):
    a = jobs("a")
    daemon = make(table("batch", 'max = 3, wait = "1m"'))
    job = a.add({})
    a.wait_state(job, "active")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGQUIT)
    daemon.process.wait(20)
    assert a.state(job) == "waiting"


def test_one_job_of_a_batch_is_cancelled_and_the_call_goes_on_for_the_others(make, jobs, tmp_path):
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    ids = [a.add({"s": 30, "until": str(until), "mark": str(mark)}, attempts=3) for _ in range(3)]
    daemon = make(table("batch", "max = 3"))
    wait_until(lambda: len(starts(mark)) == 3)
    daemon.call("job.cancel", queue="a", ids=[ids[1]])
    assert a.wait_state(ids[1], "failed")["failedReason"].startswith("cancelled")
    until.touch()
    assert [a.result(job) for job in (ids[0], ids[2])] == [3, 3]
    assert len(starts(mark)) == 3


def test_a_limit_per_key_counts_each_job_of_a_batch(make, jobs):
    a = jobs("a")
    ids = [a.add({"t": "x"}) for _ in range(6)]
    make(table("batch", "max = 6", 'per_key = { key = "t", concurrency = 2 }'))
    assert [a.result(job) for job in ids] == [2] * 6


def test_a_batch_that_gets_no_thread_is_run_by_the_next_worker(make, jobs, tmp_path):
    daemon = make(
        '[queues.a]\nhandler = "rude_handlers:no_more_threads"\nconcurrency = 2\n'
        'batch = { max = 2, wait = "10ms" }\nlock_duration = "1s"\n'
    )
    (before,) = daemon.worker_pids("a")
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    data = {"mark": str(mark), "until": str(until)}
    first = a.add(data)
    wait_until(mark.exists)
    second = a.add(data)
    assert a.result(second, 20) == "done"
    assert daemon.worker_pids("a") != [before]
    assert a.result(first, 20) == "done"
    (died,) = daemon.logged("worker exited")
    assert (died["pid"], died["exit"]) == (before, "exit code 70")
