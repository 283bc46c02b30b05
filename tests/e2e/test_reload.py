"""Reload: atomic, touches only what changed, interrupts nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import ROOT, Failed, alive
from tests.support.waiting import wait_until

OK = '[queues.{}]\nhandler = "daemon_handlers:ok"\nlock_duration = "1s"\n'


def test_an_added_queue_runs_its_first_job_and_the_others_keep_their_workers(make, jobs):
    daemon = make(OK.format("a"))
    before = daemon.worker_pids("a")
    report = daemon.reload(OK.format("a") + OK.format("b"))
    assert report["generation"] == 2
    assert (q := jobs("b")).result(q.add()) == {"id": "1"}
    assert daemon.worker_pids("a") == before


def test_a_reload_without_changes_says_that_it_looked(make):
    daemon = make(OK.format("a"))
    steps: list[str] = []
    assert daemon.call("reload", progress=steps, code=False)["generation"] == 1
    assert [step.split()[:3] for step in steps] == [["checked", "1", "file"]]


def test_a_removed_queue_drains_and_its_waiting_jobs_stay(make, jobs, tmp_path):
    slow = '[queues.old]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\n'
    daemon = make(OK.format("a") + slow)
    mark, until = tmp_path / "mark", tmp_path / "until"
    old = jobs("old")
    running, waiting = old.add({"until": str(until), "mark": str(mark)}), old.add({"s": 0})
    wait_until(mark.exists)
    daemon.write(OK.format("a"))
    steps: list[str] = []
    daemon.call("reload", progress=steps, code=False)
    assert [step for step in steps if re.fullmatch(rf"old +draining, 1 job left \({running}, [\d.]+m?s\)", step)], steps
    assert daemon.queue("old")["state"] == "draining"
    until.touch()
    assert old.result(running) == "slow"
    wait_until(lambda: [q["name"] for q in daemon.status()["queues"]] == ["a"])
    assert old.state(waiting) == "waiting"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("[queues.a\n", 78),
        ('[queues.a]\nhandler = "daemon_handlers:ok"\nconcurency = 8\n', 78),
        ('[queues.a]\nhandler = "daemon_handlers:okk"\n', 78),
        ('[queues.a]\nhandler = "no_such_module:ok"\n', 78),
        ('[queues.a]\nhandler = "daemon_handlers:ok"\nsetup = "daemon_handlers:bad_setup"\n', 1),
        ('[queues.a]\nhandler = "daemon_handlers:ok"\npython = "/no/such/python"\n', 78),
        ('[queues.a]\nhandler = "daemon_handlers:ok"\npython = "/bin/true"\n', 1),
        ('[queues.a]\nhandler = "daemon_handlers:ok"\nenv = { KEY = { env = "NO_SUCH_SECRET" } }\n', 78),
    ],
)
def test_a_mistake_changes_nothing(make, jobs, bad, code):
    daemon = make(OK.format("a"))
    before = daemon.worker_pids("a")
    with pytest.raises(Failed) as refused:
        daemon.reload(bad + OK.format("new") if code == 1 else bad)
    assert refused.value.exit == code
    status = daemon.status()
    assert (status["generation"], status["state"]) == (1, "ready")
    assert [q["name"] for q in status["queues"]] == ["a"]
    assert daemon.worker_pids("a") == before
    assert (q := jobs("a")).result(q.add()) == {"id": "1"}
    # Nothing of the trial is left: one template, one worker.
    wait_until(lambda: len(daemon.children()) == 2)


def test_what_needs_a_restart_is_refused_and_nothing_is_applied(make):
    daemon = make(OK.format("a"))
    text = daemon.config.read_text().replace("control.sock", "other.sock") + OK.format("new")
    daemon.config.write_text(text)
    with pytest.raises(Failed, match="socket") as refused:
        daemon.reload()
    assert refused.value.exit == 1
    assert [q["name"] for q in daemon.status()["queues"]] == ["a"]


def test_concurrency_is_raised_in_place(make, jobs, tmp_path):
    slow = '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\nconcurrency = {}\n'
    daemon = make(slow.format(1))
    before = daemon.worker_pids("a")
    mark, until = tmp_path / "mark", tmp_path / "until"
    queue = jobs("a")
    added = [queue.add({"until": str(until), "mark": str(mark)}) for _ in range(3)]
    wait_until(mark.exists)
    daemon.reload(slow.format(3))
    wait_until(lambda: mark.read_text().count("start") == 3)
    assert daemon.worker_pids("a") == before
    until.touch()
    assert [queue.result(job) for job in added] == ["slow"] * 3


def test_a_replaced_worker_finishes_its_job_first(make, jobs, tmp_path):
    slow = '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\nenv = {{ A = "{}" }}\n'
    daemon = make(slow.format(1))
    (before,) = daemon.worker_pids("a")
    mark, until = tmp_path / "mark", tmp_path / "until"
    queue = jobs("a")
    job = queue.add({"until": str(until), "mark": str(mark)})
    wait_until(mark.exists)
    report = daemon.reload(slow.format(2))
    assert report["interrupted"] == 0
    assert daemon.worker_pids("a", "draining") == [before]
    assert len(daemon.worker_pids("a")) == 1
    until.touch()
    assert queue.result(job) == "slow"
    wait_until(lambda: not alive(before))
    assert mark.read_text().count("start") == 1


def test_new_code_is_loaded_only_when_asked_for(make, jobs, tmp_path):
    (tmp_path / "fresh.py").write_text("def run(job):\n    return 1\n")
    text = f'[queues.a]\nhandler = "fresh:run"\npath = ["{tmp_path}"]\nworkers = 2\n'
    daemon = make(text)
    assert (q := jobs("a")).result(q.add()) == 1
    (tmp_path / "fresh.py").write_text("def run(job):\n    return 22\n")
    report = daemon.reload()
    assert any("code changed" in note for note in report["notes"])
    assert daemon.status()["code"]["changed_on_disk"] is True
    assert (q := jobs("a")).result(q.add()) == 1
    before = daemon.worker_pids("a")
    assert daemon.reload(code=True)["generation"] == 2
    assert not set(before) & set(daemon.worker_pids("a"))
    assert (q := jobs("a")).result(q.add()) == 22
    assert daemon.status()["code"]["changed_on_disk"] is False
    wait_until(lambda: len(daemon.children()) == 3)


def test_two_reloads_at_once_both_succeed_one_after_the_other(make):
    daemon = make(OK.format("a"))
    daemon.write(OK.format("a") + OK.format("b"))
    reports: list[Any] = []
    threads = [threading.Thread(target=lambda: reports.append(daemon.call("reload", code=True))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(report["generation"] for report in reports) == [2, 3, 4]


def test_a_hangup_reloads(make):
    daemon = make(OK.format("a"))
    daemon.write(OK.format("a") + OK.format("b"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.status()["generation"] == 2)
    assert [q["name"] for q in daemon.status()["queues"]] == ["a", "b"]


def test_a_number_of_workers_set_at_run_time_survives_until_the_file_changes_it(make):
    text = OK.format("a") + "workers = {}\n"
    daemon = make(text.format(1))
    assert daemon.call("queue.scale", queue="a", to="+1")["workers"] == 2
    wait_until(lambda: len(daemon.worker_pids("a")) == 2)
    assert daemon.status()["drift"]
    daemon.reload(text.format(1) + OK.format("b"))
    assert len(daemon.worker_pids("a")) == 2
    daemon.reload(text.format(3) + OK.format("b"))
    wait_until(lambda: len(daemon.worker_pids("a")) == 3)
    assert daemon.status()["drift"] == []


def test_many_reloads_leak_no_process_and_no_descriptor(make):
    daemon = make(OK.format("a"))
    files = Path(f"/proc/{daemon.pid}/fd")
    for number in range(4):
        daemon.reload(OK.format("a") + f'env = {{ A = "{number}" }}\n')
    wait_until(lambda: len(daemon.children()) == 2)
    count = len(list(files.iterdir()))
    for number in range(6):
        daemon.reload(OK.format("a") + f'env = {{ B = "{number}" }}\n')
    wait_until(lambda: len(daemon.children()) == 2)
    wait_until(lambda: len(list(files.iterdir())) <= count + 1)


def test_the_plan_names_what_runs_and_what_stays_of_a_removed_queue(make, jobs, tmp_path):
    slow = '[queues.old]\nhandler = "daemon_handlers:slow"\n'
    daemon = make(OK.format("a") + slow)
    old, mark = jobs("old"), tmp_path / "mark"
    running = old.add({"s": 60, "mark": str(mark)})
    old.add({})
    wait_until(mark.exists)
    daemon.write(OK.format("a"))
    plan = daemon.call("plan", config=None)
    step = plan["steps"][-1]
    assert (step["mark"], step["queue"], step["what"]) == ("-", "old", "removed")
    assert step["how"].startswith(f"1 worker drains (job {running} running ")
    assert step["how"].endswith("1 waiting job stays in Redis")


def test_a_stop_during_a_reload_ends_both_and_leaves_nothing(make):
    daemon = make(OK.format("a"))
    daemon.write('[queues.b]\nhandler = "daemon_slow_import:ok"\n')
    below = daemon.children()
    thread = threading.Thread(target=lambda: suppressed(lambda: daemon.call("reload", code=False)))
    thread.start()
    wait_until(lambda: daemon.status()["state"] == "reloading")
    below += daemon.children()
    assert daemon.stop() == 0
    thread.join(10)
    assert not any(alive(pid) for pid in below)


def suppressed(work: Any) -> None:
    with contextlib.suppress(Failed, OSError):
        work()


def test_a_plan_tells_of_a_handler_that_does_not_import_and_leaves_nothing_behind(make):
    daemon = make(OK.format("a"))
    before = daemon.children()
    daemon.write('[queues.a]\nhandler = "daemon_handlers:missing"\n')
    with pytest.raises(Failed) as failed:
        daemon.call("plan", config=None)
    assert failed.value.exit == 78
    assert "cannot import `daemon_handlers:missing`" in str(failed.value)
    wait_until(lambda: sorted(daemon.children()) == sorted(before))
    assert daemon.status()["generation"] == 1


@pytest.mark.parametrize("method", ["plan", "reload"])
def test_all_problems_are_told_at_once_also_by_a_running_daemon(make, method):
    daemon = make(OK.format("a"))
    before = daemon.children()
    daemon.write('[queues.a]\nhandler = "daemon_handlers:missing"\nconcurency = 8\n')
    with pytest.raises(Failed) as failed:
        daemon.call(method)
    text = str(failed.value)
    assert "cannot import `daemon_handlers:missing`" in text
    assert "unknown key `concurency`" in text
    assert "2 problems in jobd.toml" in text
    assert ("(old configuration kept)" in text) == (method == "reload")
    wait_until(lambda: sorted(daemon.children()) == sorted(before))


def test_a_queue_that_a_reload_adds_to_a_quiet_host_is_quiet_too(make, jobs):
    one = '[queues.a]\nhandler = "daemon_handlers:ok"\n'
    daemon = make(one)
    daemon.call("quiet")
    daemon.reload(one + '[queues.b]\nhandler = "daemon_handlers:ok"\n')
    b = jobs("b")
    job = b.add({})
    assert (daemon.queue("b")["state"], len(daemon.worker_pids("b", "quiet"))) == ("quiet", 1)
    daemon.call("unquiet")
    assert b.result(job) == {"id": job}


def test_plan_with_a_file_finds_its_daemon_from_any_folder(make, tmp_path):
    daemon = make(OK.format("a"))
    plan = [sys.executable, "-m", "jobd", "plan", "--config", str(daemon.config)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(plan, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "generation 1, no changes" in done.stdout) == (0, True), done.stderr


def test_a_client_that_goes_away_stops_no_reload(make, jobs, held_setup):
    daemon = make(OK.format("a"))
    daemon.write(OK.format("a") + OK.format("b") + held_setup.keys)
    held_setup.hold()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.socket))
        client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "reload", "params": {"code": false}}\n')
        wait_until(lambda: daemon.status()["state"] == "reloading", 20)
    held_setup.go()
    wait_until(lambda: daemon.status()["generation"] == 2, 30)
    assert wait_until(lambda: daemon.status()["last_reload"], 20)["applied"] is True
    assert (q := jobs("b")).result(q.add()) == {"id": "1"}
