"""The wall clock of a host jumps an hour, forwards and back: locks, limits and waits do not notice.

The machine's clock is left alone: the daemon and its workers are given another one, or Redis is; the rest and the test
keep the right time.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.client import Queue
from tests.support.redis_server import RedisServer
from tests.support.stepped_clock import SteppedClock
from tests.support.waiting import wait_until

QUEUES = """
[queues.a]
concurrency = 4
lock_duration = "1s"
stalled_interval = "1s"
max_crashes = 0
expire = "10m"
[queues.a.jobs]
slow = "daemon_handlers:slow"
ok = "daemon_handlers:ok"
limited = { handler = "daemon_handlers:async_slow", timeout = "20s" }
flaky = "daemon_handlers:flaky"
"""


@pytest.fixture
def clock(short_tmp: Path) -> SteppedClock:
    return SteppedClock(short_tmp)


@pytest.mark.parametrize("steps", [(3600,), (-3600, 7200, 0)])
def test_a_step_of_the_clock_ends_no_lock_no_limit_and_no_wait(make, jobs, short_tmp, clock, steps):
    daemon = make(QUEUES, env=clock.env)
    a, mark = jobs("a"), short_tmp / "mark"
    slow = a.add({"mark": str(mark), "s": 7}, name="slow")
    limited = a.add({"mark": str(mark), "s": 6}, name="limited")
    wait_until(lambda: mark.exists() and mark.read_text().count("start") == 2)
    for step in steps:
        clock.set(step)
        at = time.monotonic()
        # Plain jobs run on, now and for more than a lock's life after it, and none of them expires; failed ones come
        # again when they are due.
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
    clock.set(0)
    later = a.add({}, name="flaky", attempts=2, backoff="300ms")
    assert a.result(later, 15) == "flaky"
    assert daemon.stop() == 0


def test_a_host_whose_clock_is_wrong_is_named_by_doctor_and_a_delayed_job_comes_once_it_is_right(make, jobs, clock):
    daemon = make(QUEUES, env=clock.env)
    a = jobs("a")
    clock.set(-3600)
    job = a.add({}, name="ok", delay="500ms")
    wait_until(lambda: any(found["code"] == "host-clock" for found in daemon.call("doctor")["findings"]), 20, every=0.2)
    assert a.state(job) == "delayed"
    clock.set(0)
    assert a.result(job, 15) == {"id": job}


def test_a_clock_that_is_ahead_brings_delayed_jobs_early_and_loses_none(make, jobs, clock):
    make(QUEUES, env=clock.env)
    a = jobs("a")
    clock.set(3600)
    job = a.add({}, name="ok", delay="30m")
    assert a.result(job, 15) == {"id": job}
    clock.set(0)
    assert a.result(a.add({}, name="ok")) is not None


@pytest.fixture
def server(short_tmp: Path, clock: SteppedClock) -> Iterator[RedisServer]:
    """A Redis that has the wrong clock."""
    server = RedisServer(short_tmp / "r", env=clock.env).start()
    yield server
    server.stop()


REDIS_STEPS = """
[queues.a]
concurrency = 4
lock_duration = "2s"
stalled_interval = "1s"
[queues.a.jobs]
slow = "daemon_handlers:slow"
ok = "daemon_handlers:ok"
[queues.limited]
handler = "daemon_handlers:ok"
rate_limit = { max = 2, duration = "1s" }
stalled_interval = "1s"
"""


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_step_of_redis_clock_holds_up_no_limit_and_no_job_and_runs_none_twice(
    make, jobs, prefix, short_tmp, clock, server, step
):
    other = make(REDIS_STEPS, url=server.url)
    a, limited, mark = jobs("a", server), jobs("limited", server), short_tmp / "mark"
    with server.client() as r:
        # A host that is no more, with a job whose lock would live an hour longer than it was to.
        a.add({"mark": str(short_tmp / "lost"), "s": 20}, name="slow")
        wait_until((short_tmp / "lost").exists)
        daemon = make(REDIS_STEPS, url=server.url)
        other.kill()
        slow = a.add({"mark": str(mark), "s": 5}, name="slow")
        wait_until(mark.exists)
        many = [limited.add({}) for _ in range(6)]
        wait_until(lambda: r.exists(f"{prefix}:limited:limiter"))
        clock.set(step)
        assert a.result(a.add({}, name="ok"), 5)
        for job in many:
            assert limited.result(job, 15)
        wait_until(lambda: (short_tmp / "lost").read_text().count("start") == 2, 20, what="the other host's job runs")
        assert a.result(slow, 15) == "slow"
        assert (a.hash(slow)["ats"], mark.read_text().count("start")) == ("1", 1)
        assert daemon.status()["state"] == "ready"
        assert bool(daemon.logged("clock of Redis was set back: limits and lost locks end in time")) == (step < 0)
    daemon.signal(signal.SIGQUIT)
    assert daemon.wait() == 0


def test_with_redis_clock_set_back_a_deduplication_lasts_that_much_longer(server, clock, prefix):
    """Nothing tells its lifetime from one that was meant to be so long; docs/failure-modes.md says so."""
    with Queue("a", url=server.url, prefix=prefix) as a, server.client() as r:
        first = a.add("ok", {}, deduplicate={"id": "d", "ttl": "1s"})
        clock.set(-3600)
        assert r.pttl(f"{prefix}:a:de:d") > 3_590_000
        assert a.add("ok", {}, deduplicate={"id": "d", "ttl": "1s"}).id == first.id
        clock.set(10)
        wait_until(lambda: not r.exists(f"{prefix}:a:de:d"), 10)
        assert a.add("ok", {}, deduplicate={"id": "d", "ttl": "1s"}).id != first.id
