"""The wall clock of a host jumps an hour, forwards and back: locks, limits and waits do not notice.

The machine's clock is left alone: libfaketime gives the daemon and its workers another one. Redis and the test keep
the right time.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.programs import find_program
from tests.support.waiting import wait_until

QUEUES = """
[queues.a]
concurrency = 4
lock_duration = "1s"
stalled_interval = "1s"
max_crashes = 0
[queues.a.jobs]
# Not one that sleeps in a thread: libfaketime lets time.sleep of the first moments of a step last for ever.
slow = "daemon_handlers:async_slow"
ok = "daemon_handlers:ok"
limited = { handler = "daemon_handlers:async_slow", timeout = "20s" }
flaky = "daemon_handlers:flaky"
"""


@pytest.fixture
def clock(short_tmp: Path) -> Path:
    """The file that says how far the daemon's clock is off: "+3600", in seconds."""
    file = short_tmp / "offset"
    file.write_text("+0")
    return file


@pytest.fixture
def faked(clock: Path) -> dict[str, str]:
    """What makes a daemon look at that clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    find_program("faketime", "faketime")
    assert found, "faketime without its library"
    return {
        "LD_PRELOAD": str(found[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip


@pytest.mark.parametrize("steps", [("+3600",), ("-3600", "+7200", "+0")])
def test_a_step_of_the_clock_ends_no_lock_no_limit_and_no_wait(make, jobs, short_tmp, clock, faked, steps):
    daemon = make(QUEUES, env=faked)
    a, mark = jobs("a"), short_tmp / "mark"
    slow = a.add({"mark": str(mark), "s": 7}, name="slow")
    limited = a.add({"mark": str(mark), "s": 6}, name="limited")
    wait_until(lambda: mark.exists() and mark.read_text().count("start") == 2)
    for step in steps:
        clock.write_text(step)
        at = time.monotonic()
        # Plain jobs run on, now and for more than a lock's life after it; failed ones come again when they are due.
        while time.monotonic() - at < 1.5:
            assert a.result(a.add({}, name="ok"), 5)
    assert daemon.status()["state"] == "ready"
    assert abs(daemon.status()["uptime_s"]) < 120
    assert a.result(slow, 20) == "slow"
    assert a.result(limited, 20) == "slow"
    for job in (slow, limited):
        assert (a.hash(job)["ats"], a.hash(job)["atm"], a.hash(job).get("stc")) == ("1", "1", None)
    assert daemon.logged("lock lost, job cancelled") == []
    assert daemon.logged("worker exited") == []
    clock.write_text("+0")
    later = a.add({}, name="flaky", attempts=2, backoff="300ms")
    assert a.result(later, 15) == "flaky"
    assert daemon.stop() == 0


def test_a_host_whose_clock_is_wrong_is_named_by_doctor_and_a_delayed_job_comes_once_it_is_right(
    make, jobs, clock, faked
):
    daemon = make(QUEUES, env=faked)
    a = jobs("a")
    clock.write_text("-3600")
    job = a.add({}, name="ok", delay="500ms")
    wait_until(lambda: any(found["code"] == "host-clock" for found in daemon.call("doctor")["findings"]), 20, every=0.2)
    assert a.state(job) == "delayed"
    clock.write_text("+0")
    assert a.result(job, 15) == {"id": job}


def test_a_clock_that_is_ahead_brings_delayed_jobs_early_and_loses_none(make, jobs, clock, faked):
    make(QUEUES, env=faked)
    a = jobs("a")
    clock.write_text("+3600")
    job = a.add({}, name="ok", delay="30m")
    assert a.result(job, 15) == {"id": job}
    clock.write_text("+0")
    assert a.result(a.add({}, name="ok")) is not None
