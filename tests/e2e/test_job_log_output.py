"""`job_log_output`: what a handler prints and logs is in its job's log as well."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.test_recovery import queue
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs


def test_output_is_in_the_jobs_log_before_it_is_completed(
    make: Callable[..., DaemonProcess], jobs: Callable[..., Jobs]
) -> None:
    daemon = make(queue("a", "talks", 'concurrency = 4\njob_log_output = "64kB"') + queue("b", "talks"))
    a, b = jobs("a"), jobs("b")
    ids = [a.add() for _ in range(8)]
    quiet = b.add()
    for job in ids:
        a.wait_state(job, "completed")
        lines = daemon.call("job.logs", queue="a", id=job)["lines"]
        assert sorted(lines) == sorted([f"printed by {job}", f"logged by {job}", "a last word"])
    b.wait_state(quiet, "completed")
    assert daemon.call("job.logs", queue="b", id=quiet)["lines"] == []
