"""`job cancel`: wherever a job is, and on whatever host it runs, it runs no more and is not retried."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_recovery import queue, starts
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.operations import perform
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

Make = Callable[..., DaemonProcess]
Look = Callable[..., Jobs]


def reason_of(fields: dict[str, str]) -> str:
    return fields["failedReason"].partition(";")[0]


@pytest.mark.parametrize("handler", ["slow", "async_slow"])
def test_a_running_job_is_stopped_at_once_by_its_own_daemon(
    make: Make, jobs: Look, tmp_path: Path, handler: str
) -> None:
    daemon = make(queue("a", handler, "concurrency = 2").replace('"1s"', '"30s"'))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark)}, attempts=5)
    other = a.add({"mark": str(mark), "s": 2})
    wait_until(lambda: starts(mark) == 2)
    (pid,) = daemon.worker_pids("a")
    began = time.monotonic()
    told = daemon.call("job.cancel", queue="a", ids=[job])
    assert (told["done"], told["running"]) == (1, 1)
    fields = a.wait_state(job, "failed")
    assert time.monotonic() - began < 5  # and not the 10 s of a renewal
    assert fields["failedReason"].startswith("cancelled by ")
    assert (fields["ats"], fields["atm"]) == ("1", "1")
    assert a.result(other) == "slow"
    assert daemon.worker_pids("a") == [pid]


def test_a_job_of_another_host_is_stopped_when_its_lock_is_renewed(
    make: Make, jobs: Look, tmp_path: Path, redis_server: RedisServer, prefix: str
) -> None:
    make(queue("a", "async_cleaning"))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark)}, attempts=5)
    wait_until(lambda: starts(mark) == 1)
    told = perform(redis_server.url, prefix, "job.cancel", queue="a", running_ms=0)
    assert (told["done"], told["running"], told["ids"]) == (1, 1, [job])
    fields = a.wait_state(job, "failed")
    assert fields["failedReason"] == "cancelled by alice"
    assert "cleaned" in mark.read_text()


@pytest.mark.parametrize("handler", ["stubborn", "hold_gil"])
def test_a_handler_that_does_not_stop_is_killed_and_its_neighbour_runs_again_uncounted(
    make: Make, jobs: Look, tmp_path: Path, handler: str
) -> None:
    more = 'concurrency = 2\nkill_after = "300ms"\n[queues.a.jobs]\nneighbour = "daemon_handlers:slow"'
    daemon = make(queue("a", handler, more))
    a, mark, until, beside = jobs("a"), tmp_path / "mark", tmp_path / "until", tmp_path / "beside"
    neighbour = a.add({"mark": str(beside), "until": str(until)}, name="neighbour")
    wait_until(lambda: starts(beside) == 1)
    job = a.add({"mark": str(mark), "s": 60}, attempts=5)
    wait_until(lambda: starts(mark) == 1)
    daemon.call("job.cancel", queue="a", ids=[job])
    fields = a.wait_state(job, "failed")
    assert fields["failedReason"].endswith("; the handler did not stop and its worker was killed")
    assert fields["failedReason"].startswith("cancelled by ")
    until.touch()
    assert a.result(neighbour) == "slow"
    assert "stc" not in a.hash(neighbour)
    assert starts(mark) == 1


@pytest.mark.parametrize("what", ["worker", "daemon"])
def test_a_cancelled_job_whose_worker_or_daemon_is_killed_is_failed_and_not_run_again(
    make: Make, jobs: Look, tmp_path: Path, redis_server: RedisServer, prefix: str, what: str
) -> None:
    daemon = make(queue("a", "stubborn").replace('"1s"', '"30s"'))
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark)}, attempts=5)
    wait_until(lambda: starts(mark) == 1)
    # Nobody tells the daemon: it would see the mark in ten seconds.
    perform(redis_server.url, prefix, "job.cancel", queue="a", ids=[job])
    if what == "worker":
        os.kill(daemon.worker_pids("a")[0], signal.SIGKILL)
    else:
        daemon.kill()
        daemon.start_ready()
    assert a.wait_state(job, "failed")["failedReason"] == "cancelled by alice"
    assert starts(mark) == 1


def test_what_waits_has_failed_by_filter_and_can_be_retried(make: Make, jobs: Look) -> None:
    daemon = make(queue("a", "ok", "quiet = true"))
    a = jobs("a")
    ids = [a.add(name="digest"), a.add(name="digest", delay="1h"), a.add(name="digest", priority=2)]
    kept = a.add(name="welcome")
    dry: dict[str, Any] = daemon.call("job.cancel", queue="a", name="dig*", dry_run=True)
    assert dry["done"] == 3
    told = daemon.call("job.cancel", queue="a", name="dig*")
    assert (told["done"], told["running"], sorted(told["ids"])) == (3, 0, sorted(ids))
    assert {reason_of(a.hash(job))[:13] for job in ids} == {"cancelled by "}
    assert a.state(kept) == "waiting"
    assert daemon.call("job.retry", queue="a", error="cancelled*")["done"] == 3
