"""What an idle daemon costs: it and its workers sleep, and are there when something changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import redis

from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.waiting import wait_until

LOOK_S = 6.0
"""Longer than any of the pauses that are meant to be there."""


def wakeups(pid: int) -> int:
    """How often a process has gone to sleep; a machine that is busy with others changes nothing about that."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def rate(pids: list[int]) -> list[float]:
    """Wake-ups a second of these processes."""
    before, begun = [wakeups(pid) for pid in pids], time.monotonic()
    wait_until(lambda: time.monotonic() - begun > LOOK_S, LOOK_S * 2, what="time has passed")
    passed = time.monotonic() - begun
    return [(wakeups(pid) - was) / passed for pid, was in zip(pids, before, strict=True)]


def test_an_idle_daemon_and_its_worker_sleep(make: Callable[..., DaemonProcess]) -> None:
    limits = 'timeout = "5m"\nkill_after = "10s"\nglobal_concurrency = 9\nrecycle = { age = "1d" }\n'
    daemon = make(f'[queues.mail]\nhandler = "daemon_handlers:ok"\n{limits}')
    (worker,) = daemon.status()["queues"][0]["workers"]
    wait_until(lambda: daemon.status()["queues"][0]["waiting"] == 0, 10)
    of_daemon, of_worker = rate([daemon.pid, worker["pid"]])
    # Measured: 2.6 and 0.6. It was 23 and 2.2 when each duty had a tick of its own.
    assert of_daemon < 6, of_daemon
    assert of_worker < 1.5, of_worker


def test_what_a_reload_brings_is_seen_to_although_nothing_was_due(
    make: Callable[..., DaemonProcess], jobs: Callable[[str], Jobs], r: redis.Redis, prefix: str
) -> None:
    queue = '[queues.mail]\nhandler = "daemon_handlers:stubborn"\n'
    daemon = make(queue)
    mail = jobs("mail")
    daemon.write(f'{queue}global_concurrency = 3\ntimeout = "200ms"\nkill_after = "300ms"\nlock_duration = "600ms"\n')
    daemon.call("reload")
    wait_until(lambda: r.hget(f"{prefix}:mail:meta", "concurrency") == "3", 20)
    late = mail.add()
    assert "the handler did not stop" in mail.wait_state(late, "failed", 20)["failedReason"]
