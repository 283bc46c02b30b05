"""What the jobs of the benchmarks do. Workers import this; `node/worker.cjs` says the same in JavaScript."""

from __future__ import annotations

import os
import time
from pathlib import Path

from jobd import Job


async def coroutine(job: Job) -> int | None:
    """Do nothing, or say how many nanoseconds ago the job was sent."""
    return _since_sent(job)


def thread(job: Job) -> int | None:
    """The same, in a thread."""
    return _since_sent(job)


def hang(job: Job) -> None:
    """Note pid and moment in the file that the job names, then run on for an hour."""
    with Path(job.data["notes"]).open("a") as notes:
        notes.write(f"{os.getpid()} {time.monotonic_ns()}\n")
    time.sleep(3600)


def _since_sent(job: Job) -> int | None:
    sent_ns = job.data.get("sent_ns")
    return None if sent_ns is None else time.monotonic_ns() - sent_ns
