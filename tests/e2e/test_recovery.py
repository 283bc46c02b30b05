"""What a dead worker, template or daemon held runs again, at once and counted only when it is to blame."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from jobd.client import Backoff
from tests.support.daemon_process import alive
from tests.support.waiting import wait_until


def queue(name: str, handler: str, more: str = "") -> str:
    return f'[queues.{name}]\nhandler = "daemon_handlers:{handler}"\nlock_duration = "1s"\n{more}\n'


def starts(mark: Path) -> int:
    return mark.read_text().count("start") if mark.exists() else 0


def test_a_job_of_a_killed_worker_runs_again_long_before_its_lock_runs_out(make, jobs, tmp_path):
    daemon = make(queue("a", "slow").replace('"1s"', '"60s"'))
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until)}, attempts=1)
    wait_until(lambda: starts(mark) == 1)
    (pid,) = daemon.worker_pids("a")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: starts(mark) == 2, 15)
    until.touch()
    assert a.result(job) == "slow"
    fields = a.hash(job)
    assert (fields["stc"], fields["ats"], fields["atm"]) == ("1", "2", "1")
    assert daemon.logged("worker exited")[0]["exit"] == "signal 9 (SIGKILL)"


def test_a_job_that_kills_its_worker_too_often_fails_and_says_how(make, jobs):
    make(queue("a", "die", "max_crashes = 1"))
    a = jobs("a")
    job = a.add({}, attempts=5)
    fields = a.wait_state(job, "failed")
    assert fields["failedReason"].splitlines()[0] == "worker died: signal 9 (SIGKILL)"
    assert "about to die" in fields["failedReason"]
    assert fields["ats"] == "2"


def test_with_max_crashes_0_the_first_death_fails_the_job(make, jobs):
    make(queue("a", "leave", "max_crashes = 0"))
    a = jobs("a")
    fields = a.wait_state(a.add({"code": 3}), "failed")
    assert fields["failedReason"].startswith("worker died: exit code 3")
    assert fields["ats"] == "1"


def test_a_job_that_kills_its_worker_fails_alone_and_its_neighbours_complete(make, jobs, tmp_path):
    daemon = make(
        '[queues.a]\nlock_duration = "1s"\nconcurrency = 4\nmax_crashes = 1\nbreaker = false\n'
        '[queues.a.jobs]\ndie = "daemon_handlers:die"\nslow = "daemon_handlers:slow"\n'
    )
    a = jobs("a")
    good = [a.add({"s": 0.3}, name="slow") for _ in range(3)]
    bad = a.add({}, name="die")
    for job in good:
        assert a.result(job, 20) == "slow"
    a.wait_state(bad, "failed", 20)
    wait_until(lambda: daemon.status()["state"] == "ready")


def test_when_the_template_dies_its_workers_are_replaced_and_nothing_is_counted(make, jobs, tmp_path):
    daemon = make(queue("a", "slow", "max_crashes = 0"))
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until)})
    wait_until(lambda: starts(mark) == 1)
    (worker,) = daemon.worker_pids("a")
    (template,) = [pid for pid in daemon.children() if pid != worker]
    os.kill(template, signal.SIGKILL)
    wait_until(lambda: starts(mark) == 2, 10)
    until.touch()
    assert a.result(job) == "slow"
    assert "stc" not in a.hash(job)
    assert daemon.logged("worker exited")[0]["why"] == "template died"


def test_after_a_kill_of_the_daemon_the_next_start_runs_its_jobs_at_once(make, jobs, tmp_path):
    text = queue("a", "slow", "max_crashes = 0").replace('"1s"', '"60s"')
    daemon = make(text)
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until)})
    wait_until(lambda: starts(mark) == 1)
    daemon.kill()
    daemon.start_ready()
    wait_until(lambda: starts(mark) == 2, 3)
    until.touch()
    assert a.result(job) == "slow"
    assert "stc" not in a.hash(job)


def test_jobs_whose_locks_ran_out_while_no_daemon_was_there_run_at_once_too(make, jobs, r, prefix, tmp_path):
    daemon = make(queue("a", "slow", 'stalled_interval = "1h"').replace('"1s"', '"300ms"'))
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until)})
    wait_until(lambda: starts(mark) == 1)
    daemon.kill()
    wait_until(lambda: not r.exists(f"{prefix}:a:{job}:lock"))
    daemon.start_ready()
    wait_until(lambda: starts(mark) == 2, 3)
    until.touch()
    assert a.result(job) == "slow"


def test_survivors_of_a_killed_daemon_are_killed_before_their_jobs_run_again(make, jobs, tmp_path):
    daemon = make(queue("a", "slow").replace('"1s"', '"60s"'))
    a, mark = jobs("a"), tmp_path / "mark"
    a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    below = daemon.children()
    for pid in below:
        os.kill(pid, signal.SIGSTOP)  # a stopped process can not follow its parent's death by itself
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.start_ready()
    wait_until(lambda: starts(mark) == 2, 5)
    assert not any(alive(pid) for pid in below)


def test_a_handler_that_holds_the_gil_longer_than_its_lock_runs_once_beside_another_daemon(make, jobs, tmp_path):
    text = queue("a", "hold_gil", 'stalled_interval = "1s"')
    make(text)
    make(text)
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 4})
    assert a.result(job, 15) == "held"
    assert starts(mark) == 1
    assert a.hash(job)["ats"] == "1"


def test_a_job_taken_by_a_worker_whose_loop_is_blocked_keeps_its_lock(make, jobs, tmp_path):
    daemon = make(queue("a", "hold_gil", 'concurrency = 4\nstalled_interval = "1s"'))
    make(queue("a", "hold_gil", 'concurrency = 4\nstalled_interval = "1s"\nquiet = true'))
    a, mark = jobs("a"), tmp_path / "mark"
    added = [a.add({"mark": str(mark), "s": 2.5}) for _ in range(3)]
    for job in added:
        assert a.result(job, 20) == "held"
    assert starts(mark) == 3
    assert daemon.logged("lock lost, job cancelled") == []


def test_a_job_that_outlives_its_timeout_fails_its_attempt_and_its_neighbour_goes_on_uncounted(make, jobs, tmp_path):
    make(
        '[queues.a]\nlock_duration = "1s"\nconcurrency = 2\nmax_crashes = 0\nkill_after = "200ms"\n'
        '[queues.a.jobs]\nstubborn = { handler = "daemon_handlers:stubborn", timeout = "300ms" }\n'
        'slow = "daemon_handlers:slow"\n'
    )
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    neighbour = a.add({"mark": str(mark), "until": str(until)}, name="slow")
    wait_until(lambda: starts(mark) == 1)
    late = a.add({}, name="stubborn", attempts=1)
    fields = a.wait_state(late, "failed")
    assert fields["failedReason"].startswith("timed out after 300ms")
    assert (fields["atm"], fields.get("stc")) == ("1", None)
    wait_until(lambda: starts(mark) == 2)
    until.touch()
    assert a.result(neighbour) == "slow"
    assert "stc" not in a.hash(neighbour)


def test_a_timed_out_job_with_attempts_left_is_retried_by_its_backoff(make, jobs):
    make(
        '[queues.a]\nhandler = "daemon_handlers:stubborn"\nlock_duration = "1s"\ntimeout = "200ms"\n'
        'kill_after = "100ms"\nbreaker = false\n'
    )
    a = jobs("a")
    job = a.add({}, attempts=2, backoff=Backoff.fixed("300ms"))
    fields = a.wait_state(job, "failed", 30)
    assert (fields["atm"], fields["ats"]) == ("2", "2")


@pytest.mark.parametrize("handler", ["slow", "stubborn"])
def test_a_job_whose_lock_was_lost_to_another_is_cancelled_then_killed(make, jobs, r, prefix, tmp_path, handler):
    daemon = make(queue("a", handler, 'kill_after = "300ms"\nmax_crashes = 0\nstalled_interval = "1h"'))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(lambda: starts(mark) == 1)
    (pid,) = daemon.worker_pids("a")
    r.set(f"{prefix}:a:{job}:lock", "another", px=60_000)
    wait_until(lambda: daemon.logged("lock lost, job cancelled"))
    if handler == "slow":
        wait_until(lambda: daemon.queue("a")["busy"] == 0)
        assert alive(pid)
    else:
        wait_until(lambda: not alive(pid))
        wait_until(lambda: daemon.worker_pids("a"))
    # It is the other's now: neither result nor recovery of ours touches it.
    assert a.state(job) == "active"
    assert r.get(f"{prefix}:a:{job}:lock") == "another"
    assert "end" not in mark.read_text()


def test_a_worker_over_memory_max_is_killed_and_the_job_says_so(make, jobs):
    make(queue("a", "eat_memory", 'memory_max = "150MB"\nmax_crashes = 0'))
    a = jobs("a")
    fields = a.wait_state(a.add({"bytes": 300_000_000}), "failed", 15)
    assert "out of memory" in fields["failedReason"]
    assert "memory_max is 150MB" in fields["failedReason"]


def test_the_nth_crash_opens_the_breaker_and_the_other_queue_runs_on(make, jobs):
    daemon = make(
        queue("a", "die", 'max_crashes = 100\nbreaker = { crashes = 3, within = "1m", retry = "1h" }')
        + queue("b", "ok")
    )
    a, b = jobs("a"), jobs("b")
    a.add({})
    wait_until(lambda: daemon.queue("a")["state"] == "breaker")
    status = daemon.status()
    assert (status["state"], status["degraded_by"]) == ("degraded", ["a: breaker"])
    assert daemon.queue("a")["why"] == "breaker"
    assert len(daemon.logged("worker exited")) == 3
    job = b.add()
    assert b.result(job) == {"id": job}


def test_a_held_queue_starts_again_after_its_retry(make, jobs, tmp_path):
    make(queue("a", "die", 'max_crashes = 100\nbreaker = { crashes = 2, within = "1m", retry = "500ms" }'))
    a = jobs("a")
    job = a.add({"times": 3, "counter": str(tmp_path / "counter")})
    a.wait_state(job, "completed", 15)


def test_a_failing_setup_holds_its_queue_apart_and_works_once_it_is_mended(make, jobs, tmp_path):
    file = tmp_path / "there"
    held = queue("a", "ok", f'setup = "daemon_handlers:setup_if_file"\nenv = {{ SETUP_FILE = "{file}" }}\nworkers = 2')
    daemon = make(held + queue("b", "ok"))
    status = daemon.status()
    assert status["state"] == "degraded"
    assert "the file is not there" in status["degraded_by"][0]
    b = jobs("b")
    assert b.result(b.add())
    file.touch()
    wait_until(lambda: daemon.status()["state"] == "ready", 15)
    wait_until(lambda: len(daemon.worker_pids("a")) == 2)


def test_a_handler_that_does_not_import_ends_the_first_start_with_78_and_all_problems(make):
    daemon = make(queue("a", "okk") + queue("b", "printing") + '[queues.c]\nhandler = "nothing_here:x"\n', ready=False)
    assert daemon.start().wait() == 78
    text = daemon.log_tail()
    assert "2 problems" in text
    assert "daemon_handlers:okk" in text and "did you mean `ok`" in text
    assert "nothing_here" in text


@pytest.mark.parametrize("preload", ["true", "false"])
def test_workers_run_with_and_without_preload(make, jobs, preload):
    make(queue("a", "ok", f"preload = {preload}"))
    a = jobs("a")
    assert a.result(a.add())


def test_a_module_that_starts_a_thread_is_imported_by_each_worker_and_the_log_says_why(make, jobs):
    daemon = make('[queues.a]\nhandler = "daemon_with_thread:ok"\nworkers = 2\n')
    a = jobs("a")
    assert a.result(a.add()) == "ok"
    (line,) = daemon.logged("each worker imports by itself: forking after the imports is not safe")
    assert "thread" in line["why"]


def test_the_daemon_never_imports_a_handler(make, jobs, tmp_path):
    (tmp_path / "marked.py").write_text(
        f"import os\nopen({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')\ndef run(job):\n    return 1\n"
    )
    daemon = make(f'[queues.a]\nhandler = "marked:run"\npath = ["{tmp_path}"]\n')
    a = jobs("a")
    assert a.result(a.add()) == 1
    daemon.reload(code=True)
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    assert str(daemon.pid) not in pids


def test_what_handlers_print_goes_to_the_log_with_queue_and_job(make, jobs):
    daemon = make(queue("a", "printing"))
    a = jobs("a")
    job = a.add()
    a.wait_state(job, "completed")
    (line,) = wait_until(lambda: [e for e in daemon.logged("output") if "hello" in e["line"]])
    assert (line["queue"], line["line"]) == ("a", f"hello from {job}")


def test_with_redis_away_at_the_start_the_daemon_is_up_degraded_and_consumes_when_it_comes(make, jobs, own_redis):
    a = jobs("a", own_redis)
    job = a.add()
    own_redis.stop()
    daemon = make(queue("a", "ok"), url=own_redis.url)
    status = wait_until(lambda: (s := daemon.status())["state"] == "degraded" and s)
    assert "redis: down" in status["degraded_by"]
    assert status["redis"]["up"] is False
    assert daemon.queue("a")["waiting"] is None
    own_redis.start()
    assert a.result(job, 4) == {"id": job}
    wait_until(lambda: daemon.status()["state"] == "ready")


def test_a_worker_that_dies_while_redis_is_away_loses_no_job(make, jobs, own_redis, tmp_path):
    daemon = make(queue("a", "slow"), url=own_redis.url)
    a, mark, until = jobs("a", own_redis), tmp_path / "mark", tmp_path / "until"
    job = a.add({"mark": str(mark), "until": str(until)})
    wait_until(lambda: starts(mark) == 1)
    (pid,) = daemon.worker_pids("a")
    own_redis.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: daemon.logged("jobs of a dead worker wait for Redis"))
    own_redis.start()
    wait_until(lambda: starts(mark) == 2, 5)
    until.touch()
    assert a.result(job) == "slow"


def test_a_second_daemon_on_one_state_folder_exits_1_and_names_the_first(make):
    daemon = make(queue("a", "ok"))
    second = make(queue("a", "ok"), ready=False)
    second.config.write_text(daemon.config.read_text().replace("control.sock", "second.sock"))
    assert second.start().wait() == 1
    assert str(daemon.pid) in second.log_tail()


def test_until_empty_runs_everything_and_exits_0(make, jobs):
    a = jobs("a")
    added = [a.add() for _ in range(20)] + [a.add(delay="300ms")]
    daemon = make(queue("a", "ok", "concurrency = 5"), ready=False, args=("--until-empty",))
    assert daemon.start().wait(20) == 0
    assert sorted(a.ids("completed")) == sorted(added)


def test_only_the_chosen_queues_run(make):
    daemon = make(queue("mail-a", "ok") + queue("mail-b", "ok") + queue("other", "ok"), args=("--queue", "mail*"))
    assert [q["name"] for q in daemon.status()["queues"]] == ["mail-a", "mail-b"]


def test_a_worker_whose_loop_stands_still_is_replaced_when_idle_and_reported_while_a_job_runs(make, jobs):
    daemon = make(
        '[queues.a]\nhandler = "daemon_handlers:stands_still"\nlock_duration = "1s"\n'
        '[queues.b]\nhandler = "daemon_handlers:burns"\nlock_duration = "1s"\n'
    )
    a, b = jobs("a"), jobs("b")
    (old,) = daemon.worker_pids("a")
    (burning,) = daemon.worker_pids("b")
    job = b.add({"s": 12})
    assert a.result(a.add({})) == "done"
    wait_until(lambda: "event loop has not turned" in str(daemon.queue("b")["workers"][0]["why"]), 20)
    wait_until(lambda: daemon.worker_pids("a") not in ([], [old]), 20)
    (gone,) = daemon.logged("worker exited")
    assert (gone["pid"], gone["why"]) == (old, "stood still")
    assert gone["cause"].startswith("event loop stood still for ")
    assert any("asyncio/events.py" in line["line"] for line in daemon.logged("output"))
    reported = {line["pid"]: line.get("jobs") for line in daemon.logged("event loop stands still")}
    assert reported == {old: None, burning: [job]}
    assert b.result(job, 30) == "burnt"
    wait_until(lambda: daemon.queue("b")["workers"][0]["why"] is None)
    assert daemon.worker_pids("b") == [burning]


def test_a_job_that_kills_the_template_again_and_again_fails_and_the_others_run(make, jobs, tmp_path):
    daemon = make(
        '[queues.a]\nhandler = "daemon_handlers:kills_template"\nlock_duration = "2s"\n'
        '[queues.b]\nhandler = "daemon_handlers:ok"\n'
    )
    mark = tmp_path / "mark"
    queue, other = jobs("a"), jobs("b")
    pill = queue.add({"mark": str(mark)})
    failed = queue.wait_state(pill, "failed", 40)
    assert failed["failedReason"].startswith("worker died: ")
    assert mark.read_text().split().count("start") == 4, "two for free, then max_crashes + 1"
    other.result(other.add(), 20)
    wait_until(lambda: daemon.status()["state"] == "ready", 20)


def test_a_crash_in_c_names_the_handlers_lines(make, jobs):
    make('[queues.a]\nhandler = "daemon_handlers:segfault"\nmax_crashes = 0\n')
    queue = jobs("a")
    reason = queue.wait_state(queue.add(), "failed", 20)["failedReason"]
    first, *lines = reason.splitlines()
    assert first == "worker died: signal 11 (SIGSEGV)"
    assert lines[0] == "Fatal Python error: Segmentation fault"
    assert any(line.endswith("in segfault") and "daemon_handlers.py" in line for line in lines), reason
