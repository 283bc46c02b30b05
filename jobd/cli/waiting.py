"""Waiting for the end of a job: what `job wait` and `job add --wait` do, with a daemon and without."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import warn
from jobd.errors import JobFailed, NotThere, Refused
from jobd.operations.reasons import why_nothing_runs
from jobd.operations.table import JOB_WAIT, QUEUE_SHOW

if TYPE_CHECKING:
    from jobd.cli.settings import Settings

_ASKED_MS = 20_000
"""One question lasts at most so long: a daemon that is replaced meanwhile is asked anew."""

_WONDERED_MS = 3_000
"""After so long whoever waits wants to know whether anybody takes such jobs."""


def wait_for(settings: Settings, queue: str, job_id: str, limit_s: float | None, event_id: str | None = None) -> Any:
    """Return the result of a job once it is finished; say why it has not begun when it takes long.

    `event_id` is an event before its end: with it the end of a job that is not kept is found too.

    Raises:
        JobFailed: it failed for good.
        TimeoutError: it has not finished within the limit; it goes on.
        NotThere, Refused: there is no such job, or it is gone and nothing is known of its end.
    """
    end = None if limit_s is None else time.monotonic() + limit_s
    longest_ms, wondered = _WONDERED_MS, time.monotonic() + _WONDERED_MS / 1000
    while True:
        left_ms = longest_ms if end is None else max(0, min(longest_ms, round(1000 * (end - time.monotonic()))))
        params = {"queue": queue, "id": job_id, "timeout_ms": left_ms, "event_id": event_id}
        try:
            found = ask(settings, JOB_WAIT, params)
        except (NotThere, Refused) as error:
            if error.code != "job-unknown" or event_id is None:
                raise
            gone = f"job {job_id} is gone, and its end with it: it was removed, or its queue keeps no events so long"
            raise Refused("job-gone", gone) from None
        if found["ended"]:
            if found["failed_reason"] is not None:
                raise JobFailed(job_id, found["failed_reason"])
            if found["cut"]:
                text = f"job {job_id} is completed; its result is too long for the socket, name its Redis: --redis"
                raise Refused("result-too-long", text)
            return found["result"]
        event_id = found["event_id"]
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(f"job {job_id} did not finish within {limit_s:g}s; it is {found['state']}")
        if longest_ms == _WONDERED_MS and time.monotonic() >= wondered:
            longest_ms = _ASKED_MS
            if found["state"] in ("waiting", "prioritized"):
                _say_why_it_waits(settings, queue)


def _say_why_it_waits(settings: Settings, queue: str) -> None:
    reason = why_nothing_runs(ask(settings, QUEUE_SHOW, {"queue": queue})["queue"])
    if reason is not None:
        warn(f"the job waits because {reason.text}; next: {reason.next_command}")
