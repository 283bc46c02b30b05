"""Stopping: wait until grace, then hand back what is left, after its worker is dead, attempt not counted."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.support.daemon_process import alive
from tests.support.waiting import wait_until

SLOW = '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\nconcurrency = {}\n'


def starts(mark: Path) -> int:
    return mark.read_text().count("start") if mark.exists() else 0


def test_an_idle_daemon_stops_at_once_and_leaves_no_process(make):
    daemon = make(SLOW.format(1) + "workers = 3\n")
    below = daemon.children()
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 2
    assert not any(alive(pid) for pid in below)
    assert not daemon.socket.exists()


def test_a_job_that_ends_within_grace_is_finished(make, jobs, tmp_path):
    daemon = make(SLOW.format(1))
    a, mark = jobs("a"), tmp_path / "mark"
    job, waiting = a.add({"mark": str(mark), "s": 1}), a.add({"s": 0})
    wait_until(lambda: starts(mark) == 1)
    assert daemon.stop() == 0
    assert (a.state(job), a.state(waiting)) == ("completed", "waiting")


def test_what_is_unfinished_goes_back_to_the_front_in_its_order_and_nothing_is_counted(make, jobs, tmp_path):
    daemon = make(SLOW.format(3))
    a, mark = jobs("a"), tmp_path / "mark"
    running = [a.add({"mark": str(mark), "s": 60}) for _ in range(3)]
    waiting = [a.add({"s": 60}) for _ in range(2)]
    wait_until(lambda: starts(mark) == 3)
    told: list[str] = []
    report = daemon.call("stop", grace_ms=300, now=False, progress=told)
    assert daemon.wait() == 0
    assert sorted(job["id"] for job in report["handed_back"]) == running
    assert report["finished"] == 0
    # The tail of the list runs next.
    assert a.ids("waiting")[::-1] == running + waiting
    assert a.ids("active") == []
    for job in running:
        fields = a.hash(job)
        assert (fields.get("atm"), fields.get("stc"), fields["ats"]) == (None, None, "1")
    assert told[0].startswith("waiting for 3 jobs (")
    assert f"a {running[0]} " in told[0]


def test_jobs_of_several_workers_go_back_in_the_order_in_which_they_were_taken(make, jobs, tmp_path):
    daemon = make(SLOW.format(2) + "workers = 2\n")
    a, mark = jobs("a"), tmp_path / "mark"
    added = [a.add({"mark": str(mark), "s": 60}) for _ in range(6)]
    wait_until(lambda: starts(mark) == 4)
    taken = a.ids("active")[::-1]
    daemon.signal(signal.SIGQUIT)
    assert daemon.wait() == 0
    assert a.ids("waiting")[::-1] == taken + [job for job in added if job not in taken]


def test_a_stop_counts_what_finished_while_it_waited(make, jobs, tmp_path):
    daemon = make(SLOW.format(2))
    a, mark = jobs("a"), tmp_path / "mark"
    a.add({"mark": str(mark), "s": 0.5})
    long = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 2)
    report = daemon.call("stop", grace_ms=2000, now=False)
    assert (report["finished"], [job["id"] for job in report["handed_back"]]) == (1, [long])
    assert report["handed_back"][0]["name"] == "x"
    assert daemon.wait() == 0


def test_now_does_not_wait(make, jobs, tmp_path):
    daemon = make(SLOW.format(1))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    began = time.monotonic()
    daemon.call("stop", grace_ms=None, now=True)
    assert daemon.wait() == 0
    assert time.monotonic() - began < 3
    assert a.state(job) == "waiting"


def test_a_coroutine_is_cancelled_before_its_worker_is_killed(make, jobs, tmp_path):
    daemon = make('[queues.a]\nhandler = "daemon_handlers:async_cleaning"\nlock_duration = "1s"\n')
    a, mark = jobs("a"), tmp_path / "mark"
    a.add({"mark": str(mark)})
    wait_until(lambda: starts(mark) == 1)
    daemon.call("stop", grace_ms=100, now=False)
    assert daemon.wait() == 0
    assert "cleaned" in mark.read_text()


def test_programs_that_handlers_started_are_gone_too(make, jobs, tmp_path):
    daemon = make('[queues.a]\nhandler = "daemon_handlers:with_child"\nlock_duration = "1s"\n')
    a, mark, pidfile = jobs("a"), tmp_path / "mark", tmp_path / "pid"
    a.add({"mark": str(mark), "pidfile": str(pidfile)})
    wait_until(lambda: starts(mark) == 1)
    child = int(pidfile.read_text())
    assert alive(child)
    daemon.call("stop", grace_ms=0, now=False)
    assert daemon.wait() == 0
    wait_until(lambda: not alive(child), 2)


@pytest.mark.parametrize("how", ["die", "return"])
def test_programs_in_sessions_of_their_own_go_with_the_worker_that_started_them(make, jobs, tmp_path, how):
    daemon = make('[queues.a]\nhandler = "daemon_handlers:leaves_daemons"\nmax_crashes = 0\n')
    queue = jobs("a")
    job = queue.add({"folder": str(tmp_path), "how": how})
    queue.wait_state(job, "failed" if how == "die" else "completed")
    left = [int((tmp_path / name).read_text()) for name in ("program", "fork")]
    if how == "return":
        assert all(map(alive, left)), "they may go on while their worker lives"
        daemon.call("worker.kill", pid=daemon.worker_pids("a")[0])
        wait_until(lambda: not alive(left[0]), 5)
        assert daemon.stop() == 0
    wait_until(lambda: not any(map(alive, left)), 5)


def test_a_second_stop_shortens_the_wait_and_gets_the_same_report(make, jobs, tmp_path):
    daemon = make(SLOW.format(1))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["state"] == "draining")
    report = daemon.call("stop", grace_ms=100, now=False)
    assert [handed["id"] for handed in report["handed_back"]] == [job]
    assert daemon.wait() == 0


def test_with_redis_away_an_idle_daemon_stops_without_waiting(make, own_redis):
    daemon = make(SLOW.format(1), url=own_redis.url)
    own_redis.kill()
    wait_until(lambda: "redis: down" in daemon.status()["degraded_by"])
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 3


def test_with_redis_gone_in_the_same_moment_it_is_not_waited_for(make, own_redis):
    daemon = make(SLOW.format(1), url=own_redis.url)
    own_redis.kill()
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 3


def test_a_job_left_when_redis_was_away_is_recovered_by_the_next_start(make, jobs, own_redis, tmp_path):
    daemon = make(SLOW.format(1).replace('"1s"', '"60s"'), url=own_redis.url)
    a, mark, until = jobs("a", own_redis), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    own_redis.kill()
    daemon.call("stop", grace_ms=100, now=False)
    assert daemon.wait() == 0
    own_redis.start()
    assert a.state(job) == "active"
    daemon.start_ready()
    wait_until(lambda: starts(mark) == 2, 3)
    until.touch()
    assert a.result(job) == "slow"


def test_a_stop_while_it_starts_ends_it(make):
    daemon = make('[queues.a]\nhandler = "daemon_slow_import:ok"\n', ready=False).start()
    wait_until(daemon.socket.exists)
    assert daemon.stop() == 0


def test_a_stop_before_the_private_redis_is_up_ends_it(make):
    daemon = make(SLOW.format(1), ready=False, url="embedded").start()
    wait_until((daemon.folder / "state" / "lock").exists)
    assert daemon.stop() == 0


@pytest.mark.parametrize("state", ["breaker", "setup"])
def test_a_queue_that_is_held_back_does_not_hold_up_the_stop(make, jobs, state):
    text = {
        "breaker": 'handler = "daemon_handlers:die"\nbreaker = { crashes = 1, within = "1m", retry = "1h" }',
        "setup": 'handler = "daemon_handlers:ok"\nsetup = "daemon_handlers:bad_setup"',
    }[state]
    daemon = make(f"[queues.a]\n{text}\n")
    if state == "breaker":
        jobs("a").add({})
    wait_until(lambda: daemon.status()["state"] == "degraded")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 2
