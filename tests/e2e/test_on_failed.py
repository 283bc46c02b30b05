"""`on_failed` hears once of every job that fails for good, also of those whose handler could raise nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ON_FAILED = 'on_failed = "settings_handlers:on_failed_by_file"\n'


@pytest.fixture
def heard(short_tmp: Path):
    """Return what reads the lines on_failed wrote: job, attempt, kind and text of the error."""
    file = short_tmp / "heard"

    def lines(count: int = 1) -> list[str]:
        return wait_until(lambda: (got := file.read_text().splitlines()) and len(got) >= count and got, 20)

    file.touch()
    return lines, {"heard": str(file)}


def test_a_job_that_kills_its_worker_too_often_is_told_to_the_next_one(make, jobs, heard):
    lines, data = heard
    make(f'[queues.a]\nhandler = "daemon_handlers:die"\nmax_crashes = 1\n{ON_FAILED}')
    a = jobs("a")
    job = a.add(data)
    a.wait_state(job, "failed", 20)
    assert lines() == [f"{job} 1 Unrecoverable worker died: signal 9 (SIGKILL)"]
    assert wait_until(lambda: a.logs(job), 20) == ["told"]


def test_it_hears_also_when_the_job_is_not_kept(make, jobs, heard):
    lines, data = heard
    make(f'[queues.a]\nhandler = "daemon_handlers:die"\nmax_crashes = 0\nkeep_failed = false\n{ON_FAILED}')
    job = jobs("a").add(data)
    assert lines() == [f"{job} 1 Unrecoverable worker died: signal 9 (SIGKILL)"]


def test_a_job_that_outlives_kill_after_is_told(make, jobs, heard):
    lines, data = heard
    make(
        '[queues.a]\nhandler = "settings_handlers:swallows"\ntimeout = "200ms"\nkill_after = "200ms"\n'
        f"attempts = 1\n{ON_FAILED}"
    )
    a = jobs("a")
    job = a.add(data)
    reason = a.wait_state(job, "failed", 20)["failedReason"]
    assert lines() == [f"{job} 1 JobTimeout {reason}"]


@pytest.mark.parametrize(
    ("queue", "fields", "reason"),
    [
        ('[queues.a.jobs]\ngood = "daemon_handlers:ok"\n', {}, 'no handler for job name "bad"; known names: good'),
        ('handler = "daemon_handlers:ok"\nexpire = "1ms"\n', {"timestamp": 1}, "expired"),
        ('handler = "daemon_handlers:ok"\n', {"defa": "stalled too often"}, "stalled too often"),
    ],
)
def test_a_job_that_is_refused_before_its_handler_is_told(make, jobs, heard, r, prefix, queue, fields, reason):
    lines, data = heard
    a = jobs("a")
    added = a.add(data, name="bad")
    for name, value in fields.items():
        r.hset(f"{prefix}:a:{added}", name, value)
    make(f"[queues.a]\n{ON_FAILED}{queue}")
    assert a.wait_state(added, "failed", 20)["failedReason"] == reason
    assert lines() == [f"{added} 1 Unrecoverable {reason}"]
    assert wait_until(lambda: a.logs(added), 20) == ["told"]


def test_a_completion_refused_for_a_failed_child_is_told(make, jobs, heard, r, prefix, short_tmp):
    lines, data = heard
    make(f'[queues.a]\nhandler = "daemon_handlers:slow"\n{ON_FAILED}')
    a = jobs("a")
    until = short_tmp / "until"
    added = a.add({**data, "until": str(until)})
    a.wait_state(added, "active", 20)
    r.zadd(f"{prefix}:a:{added}:unsuccessful", {"a child": 1})
    until.touch()
    assert "failed child" in (reason := a.wait_state(added, "failed", 20)["failedReason"])
    assert lines() == [f"{added} 1 Unrecoverable {reason}"]


def test_a_call_that_another_job_of_its_worker_cut_off_is_made_again(make, jobs, short_tmp):
    make(
        '[queues.a]\nhandler = "daemon_handlers:die"\nmax_crashes = 0\nconcurrency = 2\nbreaker = false\n'
        'on_failed = "settings_handlers:on_failed_in_its_time"\n'
    )
    a = jobs("a")
    file = short_tmp / "heard"
    wanted = [a.add({"heard": str(file)}) for _ in range(3)]
    ended = lambda: [line.split()[1] for line in file.read_text().splitlines() if line.startswith("end")]  # noqa: E731
    wait_until(lambda: file.exists() and sorted(ended()) == sorted(wanted), 40, what="each was heard of to the end")


def test_what_nobody_could_be_told_of_is_named_at_the_stop(make, jobs):
    daemon = make(
        '[queues.a]\nhandler = "daemon_handlers:die"\nmax_crashes = 0\n'
        f'breaker = {{ crashes = 1, within = "1m", retry = "10m" }}\n{ON_FAILED}'
    )
    a = jobs("a")
    job = a.add()
    a.wait_state(job, "failed", 20)
    daemon.stop()
    told = daemon.logged("on_failed was not called: no worker was there")
    assert [(each["queue"], each["job"]) for each in told] == [("a", job)]
