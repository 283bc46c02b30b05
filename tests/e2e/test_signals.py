"""Signals to the daemon."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

SLOW = '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\n'


@pytest.fixture
def busy(make, jobs, tmp_path):
    """A daemon with one job that runs for long, the queue, and the job's id."""
    daemon = make(SLOW)
    a, mark = jobs("a"), tmp_path / "mark"
    job = a.add({"mark": str(mark), "s": 60})
    wait_until(mark.exists)
    return daemon, a, job


def lived(daemon, number: int) -> float:
    began = time.monotonic()
    daemon.signal(number)
    assert daemon.wait() == 0
    return time.monotonic() - began


def test_quit_hands_back_now(busy):
    daemon, a, job = busy
    assert lived(daemon, signal.SIGQUIT) < 3
    assert a.state(job) == "waiting"


def test_a_second_terminate_changes_nothing(busy):
    daemon, a, job = busy
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["state"] == "draining")
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert time.monotonic() - began > 3  # grace is 5 s
    assert a.state(job) == "waiting"


def test_a_second_interrupt_hands_back_now(busy):
    daemon, a, job = busy
    daemon.signal(signal.SIGINT)
    wait_until(lambda: daemon.status()["state"] == "draining")
    assert lived(daemon, signal.SIGINT) < 3
    assert a.state(job) == "waiting"


def test_a_third_interrupt_kills(busy):
    daemon, _a, _job = busy
    for _ in range(2):
        daemon.signal(signal.SIGINT)
        wait_until(lambda: daemon.status()["state"] == "draining")
    assert lived(daemon, signal.SIGINT) < 2


def test_stop_and_continue_from_the_terminal_quiet_and_unquiet_this_host(make, jobs):
    daemon = make('[queues.a]\nhandler = "daemon_handlers:ok"\n')
    a = jobs("a")
    daemon.signal(signal.SIGTSTP)
    wait_until(lambda: daemon.queue("a")["state"] == "quiet")
    job = a.add()
    (drift,) = daemon.status()["drift"]
    assert drift.startswith("a quiet at runtime by signal ")
    assert a.state(job) == "waiting"
    daemon.signal(signal.SIGCONT)
    assert a.result(job) == {"id": job}


def test_ttin_writes_the_stacks_of_all_workers_into_the_log(busy):
    daemon, _a, _job = busy
    daemon.signal(signal.SIGTTIN)
    wait_until(lambda: any("daemon_handlers" in line["line"] for line in daemon.logged("stack")))


def test_handlers_start_programs_with_default_signals(make, jobs, tmp_path):
    make('[queues.a]\nhandler = "daemon_handlers:child_signals"\n')
    a = jobs("a")
    # 32 and 33 are glibc's own: a program that starts the tests (make) may have left them ignored.
    assert int(a.result(a.add()), 16) & ~(0b11 << 31) == 0


def test_a_group_signal_that_reaches_a_worker_does_nothing(make, jobs):
    import os

    daemon = make('[queues.a]\nhandler = "daemon_handlers:ok"\n')
    (pid,) = daemon.worker_pids("a")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    a = jobs("a")
    job = a.add()
    assert a.result(job) == {"id": job}
    assert daemon.worker_pids("a") == [pid]
    assert Path(f"/proc/{pid}").exists()
