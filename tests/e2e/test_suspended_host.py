"""A host that is suspended and comes back: every one of its processes stands still, then goes on where it was."""

from __future__ import annotations

import os
import signal
import time

from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUE = (
    '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\nstalled_interval = "1s"\nmax_crashes = 3\n'
    '[queues.other]\nhandler = "daemon_handlers:ok"\n'
)


def test_a_suspended_host_finds_its_job_done_by_another_and_changes_nothing(make, jobs, short_tmp):
    one, two = make(QUEUE), make(QUEUE)
    two.call("queue.quiet", queue="a")
    a, mark, until = jobs("a"), short_tmp / "mark", short_tmp / "until"
    job = a.add({"mark": str(mark), "until": str(until), "s": 120})
    wait_until(lambda: mark.exists() and one.queue("a")["busy"] == 1)
    two.call("queue.unquiet", queue="a")
    host = [one.pid, *one.children()]
    for pid in host:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: two.queue("a")["busy"] == 1, 20, what="the job runs on the other host")
        until.touch()
        done = a.wait_state(job, "completed")
    finally:
        for pid in reversed(host):
            os.kill(pid, signal.SIGCONT)
    # It goes on where it stood: its handler ends, too, and what it says of the job is refused.
    wait_until(lambda: one.status()["queues"][0]["busy"] == 0, 20)
    assert a.result(a.add({"mark": str(mark), "until": str(until)})) == "slow"
    assert a.hash(job) == done
    assert (done["atm"], mark.read_text().count("start")) == ("1", 3)
    wait_until(lambda: one.status()["state"] == two.status()["state"] == "ready", 20)
    other = jobs("other")
    one.call("queue.quiet", queue="other")
    two.call("queue.quiet", queue="other")
    waiting = other.add()
    one.call("queue.unquiet", queue="other")
    assert other.result(waiting) == {"id": waiting}


def test_a_daemon_that_is_stopped_alone_beside_another_host_loses_no_job_that_its_workers_run(make, jobs, short_tmp):
    """Its workers renew what they run: the other host took their jobs, and ran them beside them."""
    queue = QUEUE.replace('lock_duration = "1s"', 'lock_duration = "2s"\nconcurrency = 3')
    one, two = make(queue), make(queue)
    two.call("queue.quiet", queue="a")
    a, mark, until = jobs("a"), short_tmp / "mark", short_tmp / "until"
    ids = [a.add({"mark": str(mark), "until": str(until), "s": 120}) for _ in range(3)]
    wait_until(lambda: mark.exists() and mark.read_text().count("start") == 3)
    two.call("queue.unquiet", queue="a")
    os.kill(one.pid, signal.SIGSTOP)
    try:
        # Three lives of a lock, and as many looks for lost ones as two.
        since = time.monotonic()
        wait_until(lambda: time.monotonic() - since > 6 or two.logged("stalled job recovered"), 20)
        assert two.logged("stalled job recovered") == []
        until.touch()
        assert [a.wait_state(job, "completed")["ats"] for job in ids] == ["1"] * 3
    finally:
        os.kill(one.pid, signal.SIGCONT)
    assert mark.read_text().count("start") == 3
    told = wait_until(lambda: [line["line"] for line in one.logged("output") if "renewed here" in line["line"]], 20)
    assert told == ["locks are renewed here: the daemon does not do it, jobs: 3"]
    wait_until(lambda: one.status()["state"] == "ready", 20)


def test_behind_an_outage_a_host_that_comes_back_later_than_another_keeps_its_jobs(make, jobs, short_tmp):
    """The first one back took them for lost: nobody had renewed their locks while Redis was away."""
    server = RedisServer(short_tmp / "durable", durable=True).start()
    try:
        late = make(QUEUE.replace('lock_duration = "1s"', 'lock_duration = "2s"'), url=server.url)
        a, mark, until = jobs("a", server), short_tmp / "mark", short_tmp / "until"
        job = a.add({"mark": str(mark), "until": str(until), "s": 120})
        wait_until(lambda: mark.exists() and late.queue("a")["busy"] == 1)
        first = make(QUEUE.replace('lock_duration = "1s"', 'lock_duration = "12s"'), url=server.url)
        server.kill()
        since = time.monotonic()
        wait_until(lambda: time.monotonic() - since > 2.5, 10, what="the lock has run out")
        host = [late.pid, *late.children()]
        for pid in host:
            os.kill(pid, signal.SIGSTOP)
        try:
            server.start()
            wait_until(lambda: first.status()["state"] == "ready", 20)
            since = time.monotonic()
            wait_until(lambda: time.monotonic() - since > 2.5 or first.logged("stalled job recovered"), 10)
        finally:
            for pid in reversed(host):
                os.kill(pid, signal.SIGCONT)
        until.touch()
        assert a.wait_state(job, "completed")["ats"] == "1"
        assert first.logged("stalled job recovered") == []
    finally:
        server.stop()
