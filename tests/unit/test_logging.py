"""The job in log lines."""

from __future__ import annotations

import io
import logging
import threading
from typing import Any

from jobd import Job
from jobd.logging import JobFilter, add_job
from jobd.testing import run

_out = io.StringIO()


def _logger() -> logging.Logger:
    handler = logging.StreamHandler(_out)
    handler.addFilter(JobFilter())
    handler.setFormatter(logging.Formatter("%(queue)s %(job_id)s %(job_name)s %(job_attempt)s %(message)s"))
    logger = logging.Logger("a library's")
    logger.addHandler(handler)
    return logger


def noisy(job: Job) -> dict[str, Any]:
    _logger().warning("inside")
    _logger().warning("own", extra={"job_id": "mine"})
    thread = threading.Thread(target=lambda: _logger().warning("beside"))
    thread.start()
    thread.join()
    return dict(add_job(None, "info", {"event": "x", "queue": "kept"}))


async def quiet(job: Job) -> dict[str, Any]:
    return dict(add_job(None, "info", {}))


def test_lines_of_all_loggers_carry_the_job_around_them() -> None:
    _out.truncate(0)
    _out.seek(0)
    _logger().warning("before")
    done = run(noisy, name="n", attempt=2)
    assert _out.getvalue().splitlines() == [
        "- - - - before", "test 1 n 2 inside", "test mine n 2 own", "- - - - beside",
    ]  # fmt: skip
    assert done.result == {"event": "x", "queue": "kept", "job_id": "1", "job_name": "n", "job_attempt": 2}


def test_structlog_events_too_and_only_inside_of_a_job() -> None:
    assert run(quiet, name="n").result["job_id"] == "1"
    assert add_job(None, "info", {"event": "x"}) == {"event": "x"}
