"""A process that a handler forked is no second worker."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.daemon_process import alive
from tests.support.waiting import wait_until


def queue(handler: str) -> str:
    return f'[queues.a]\nmax_crashes = 0\n[queues.a.jobs]\nfork = "daemon_forks:{handler}"\nok = "daemon_forks:ok"\n'


def test_a_child_in_a_session_of_its_own_goes_with_its_worker_and_takes_no_wakeup_from_the_next_one(make, jobs):
    daemon = make(queue("orphan"))
    a = jobs("a")
    child = a.result(a.add(name="fork"))
    assert alive(child)
    (worker,) = daemon.worker_pids("a")
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: daemon.worker_pids("a") not in ([], [worker]))
    for _ in range(2):
        added_at = time.monotonic()
        a.result(a.add(name="ok"))
        assert time.monotonic() - added_at < 2
    wait_until(lambda: not alive(child))


@pytest.mark.parametrize("handler", ["child_comes_back", "child_awaits"])
def test_a_child_that_comes_back_from_the_handler_ends_there(make, jobs, handler):
    daemon = make(queue(handler))
    a = jobs("a")
    assert a.result(a.add(name="fork")) != 0
    assert a.result(a.add(name="ok")) == "ok"
    assert daemon.logged("worker exited") == []


def test_processes_of_multiprocessing_can_be_terminated(make, jobs):
    make(queue("pool"))
    a = jobs("a")
    for job in [a.add(name="fork") for _ in range(30)]:
        assert a.result(job, 20) == [1, 2]
