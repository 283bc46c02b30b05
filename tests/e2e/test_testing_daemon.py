"""The fixture jobd_daemon: a real daemon in a test of an application."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobd.client import JobFailed, Queue
from jobd.errors import DaemonAway, JobdError
from jobd.testing import RealDaemon
from tests.support.daemon_process import alive

_SHOP = """
import os, signal

def send(job):
    if job.data.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"sent": job.data["userId"], "pid": os.getpid()}
"""
_TOML = '[queues.email]\nhandler = "shop_of_test:send"\nmax_crashes = 0\n'


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_of_test.py").write_text(_SHOP)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_job_runs_in_a_real_worker(jobd_daemon: Callable[[str], RealDaemon]) -> None:
    daemon = jobd_daemon(_TOML)
    job = daemon.add("email", "welcome", {"userId": 7})
    result = daemon.wait(job)
    assert (result["sent"], result["pid"] == os.getpid()) == (7, False)
    assert daemon.status()["state"] == "ready"
    with Queue("email") as queue:  # as the application's own code would
        assert queue.add("welcome", {"userId": 8}).wait(20)["sent"] == 8
    with pytest.raises(JobFailed, match="SIGKILL"):
        daemon.wait(daemon.add("email", "welcome", {"die": True}))
    pid = daemon.status()["pid"]
    assert daemon.stop() == 0
    assert not alive(pid)
    with pytest.raises(DaemonAway):
        daemon.status()


def test_a_configuration_that_does_not_start_says_why(jobd_daemon: Callable[[str], RealDaemon]) -> None:
    with pytest.raises(JobdError, match=r"exit code 78(.|\n)*nowhere_at_all"):
        jobd_daemon('[queues]\nemail = "nowhere_at_all:send"\n')
