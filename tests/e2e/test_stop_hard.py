"""Stopping when it is inconvenient: jobs that outlast every stop, workers that start or restart, queues that leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.daemon_process import ROOT, alive
from tests.support.waiting import wait_until

SLOW = '[queues.{}]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\n'
OK = '[queues.{}]\nhandler = "daemon_handlers:ok"\n'


def starts(mark: Path) -> int:
    return mark.read_text().count("start") if mark.exists() else 0


def jobd(daemon, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "jobd", *args, "--socket", str(daemon.socket), "--config", str(daemon.config)],
        cwd=daemon.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout


def nothing_is_left(daemon, below: list[int]) -> None:
    wait_until(lambda: not any(alive(pid) for pid in below), 10, what="every process is gone")
    assert not daemon.socket.exists()
    # The folder is free: another daemon may take it.
    daemon.start_ready()
    daemon.signal(signal.SIGQUIT)
    assert daemon.wait() == 0


def test_a_job_that_was_handed_back_three_times_is_named_with_what_to_do(make, jobs, tmp_path):
    daemon = make(SLOW.format("a"), ready=False)
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until), "s": 60})
    said = []
    for times in (1, 2, 3):
        daemon.start_ready()
        wait_until(lambda times=times: starts(mark) == times)
        said.append(jobd(daemon, "stop", "--now"))
        assert daemon.wait() == 0
        assert f"1 handed back (a {job}; attempt not counted)." in said[-1]
    assert "warning" not in said[0] + said[1]
    assert f"warning: a {job} was handed back 3 times without coming to its end" in said[2]
    assert "raise [daemon] grace" in said[2]
    (line,) = daemon.logged("job handed back again and again")
    assert (line["queue"], line["job"], line["times"], line["level"]) == ("a", job, 3, "warning")
    daemon.start_ready()
    wait_until(lambda: starts(mark) == 4)
    assert "handed back 3 times" in jobd(daemon, "job", "show", "a", job)
    findings = daemon.call("doctor")["findings"]
    assert [(found["about"], found["level"]) for found in findings if found["code"] == "handed-back-often"] == [
        ("a", "warning")
    ]
    until.touch()
    assert a.result(job) == "slow"
    assert a.hash(job)["atm"] == "1"
    assert "handed back" not in jobd(daemon, "job", "show", "a", job)


def test_the_countdown_names_the_jobs_waited_for_and_is_told_again_when_one_is_done(make, jobs, tmp_path):
    daemon = make(SLOW.format("a") + "concurrency = 7\n" + SLOW.format("b"))
    a, b, mark = jobs("a"), jobs("b"), tmp_path / "mark"
    files = [tmp_path / f"until{number}" for number in range(8)]
    added = [(q, q.add({"mark": str(mark), "until": str(file)})) for q, file in zip([a] * 7 + [b], files, strict=True)]
    wait_until(lambda: starts(mark) == 8)
    told: list[str] = []
    reports: list[dict] = []
    stop = threading.Thread(target=lambda: reports.append(daemon.call("stop", grace_ms=60_000, progress=told)))
    stop.start()
    wait_until(lambda: told)
    assert told[0].startswith("waiting for 8 jobs (")
    assert told[0].endswith(" and 3 more")
    for file in files[:6]:
        file.touch()
    wait_until(lambda: any(line.startswith("waiting for 2 jobs (") for line in told))
    assert f"b {added[7][1]} " in told[-1]
    assert f"a {added[6][1]} " in told[-1]
    for file in files[6:]:
        file.touch()
    stop.join(20)
    assert daemon.wait() == 0
    assert (reports[0]["finished"], reports[0]["handed_back"]) == (8, [])


def test_a_stop_while_a_dead_worker_waits_for_its_restart(make, jobs):
    daemon = make('[queues.a]\nhandler = "daemon_handlers:die"\nmax_crashes = 100\nbreaker = false\n')
    a = jobs("a")
    job = a.add()
    wait_until(lambda: daemon.logged("worker restarts later"), 20)
    below = daemon.children()
    assert daemon.stop() == 0
    assert a.state(job) == "waiting"
    a._r.delete(f"{daemon.prefix}:a:wait")
    nothing_is_left(daemon, below)


def test_a_stop_while_a_replacement_is_on_its_way(make, jobs, held_setup, tmp_path):
    daemon = make(SLOW.format("a") + held_setup.keys)
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    (pid,) = daemon.worker_pids("a")
    held_setup.hold()
    threading.Thread(target=lambda: _ignored(lambda: daemon.call("worker.restart", pid=pid))).start()
    wait_until(lambda: len(daemon.queue("a")["workers"]) == 2)
    below = daemon.children()
    report = daemon.call("stop", grace_ms=100)
    assert [back["id"] for back in report["handed_back"]] == [job]
    assert daemon.wait() == 0
    assert a.state(job) == "waiting"
    a._r.delete(f"{daemon.prefix}:a:wait")
    held_setup.go()
    nothing_is_left(daemon, below)


@pytest.mark.parametrize("times", [2, 3])
def test_further_interrupts_say_what_they_do_also_while_redis_is_away(make, jobs, own_redis, tmp_path, times):
    daemon = make(SLOW.format("a").replace('"1s"', '"60s"'), url=own_redis.url)
    a, mark = jobs("a", own_redis), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    below = daemon.children()
    own_redis.kill()
    daemon.signal(signal.SIGINT)
    wait_until(lambda: daemon.status()["state"] == "draining")
    for _ in range(times - 1):
        daemon.signal(signal.SIGINT)
    assert daemon.wait(10) == 0
    assert "hand" in daemon.log_tail()
    own_redis.start()
    nothing_is_left(daemon, below)
    # The start that `nothing_is_left` made has put it back, or has begun it again and handed it back.
    assert a.state(job) == "waiting"
    assert a.hash(job).get("stc") is None


def test_a_removed_queue_that_drains_holds_up_no_other_and_no_reload(make, jobs, tmp_path):
    daemon = make(SLOW.format("old") + "workers = 2\n" + OK.format("a"))
    old, a, mark, until = jobs("old"), jobs("a"), tmp_path / "mark", tmp_path / "until"
    running = [old.add({"mark": str(mark), "until": str(until), "s": 60}) for _ in range(2)]
    wait_until(lambda: starts(mark) == 2)
    before = daemon.worker_pids("a")
    daemon.reload(OK.format("a"))
    assert daemon.queue("old")["state"] == "draining"
    assert a.result(a.add())
    # Nor does it hold up what comes then: queues that come and change, new code, new numbers.
    daemon.reload(OK.format("a") + "concurrency = 3\n" + OK.format("b"))
    assert (b := jobs("b")).result(b.add())
    assert daemon.worker_pids("a") == before
    daemon.reload(code=True)
    daemon.call("queue.scale", queue="a", to="2")
    wait_until(lambda: len(daemon.worker_pids("a")) == 2)
    # It comes back while it drains: new workers beside those that leave.
    daemon.reload(SLOW.format("old") + OK.format("a") + OK.format("b"))
    third = old.add({"mark": str(mark), "until": str(until), "s": 60})
    wait_until(lambda: starts(mark) == 3)
    until.touch()
    for job in [*running, third]:
        assert old.result(job) == "slow"
        assert old.hash(job)["ats"] == "1"
    below = daemon.children()
    assert daemon.stop() == 0
    nothing_is_left(daemon, below)


def test_stops_from_everywhere_at_once_are_one_stop(make, jobs, tmp_path):
    daemon = make(SLOW.format("a"))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    below = daemon.children()
    reports: list[dict] = []
    asked = [
        threading.Thread(target=lambda: _ignored(lambda: reports.append(daemon.call("stop", grace_ms=500))))
        for _ in range(5)
    ]
    for thread in asked:
        thread.start()
    daemon.signal(signal.SIGTERM)
    for thread in asked:
        thread.join(20)
    assert daemon.wait() == 0
    assert reports
    assert all([back["id"] for back in report["handed_back"]] == [job] for report in reports)
    nothing_is_left(daemon, below)


def _ignored(work) -> None:
    try:
        work()
    except (OSError, AssertionError):
        return
