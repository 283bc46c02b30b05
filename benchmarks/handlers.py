"""What the jobs of the benchmarks do. Workers import this; `node/worker.cjs` says the same in JavaScript."""

from __future__ import annotations

import hashlib
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


_WEIGHTS = bytes(100_000)


def _call_of_a_model() -> None:
    """What costs some tenths of a millisecond however many jobs there are: the weights are read once a call."""
    hashlib.sha256(_WEIGHTS).digest()


def one_by_one(job: Job) -> None:
    """A call of the model for one job."""
    del job
    _call_of_a_model()


def batch(jobs: list[Job]) -> list[None]:
    """A call of the model for all of them."""
    _call_of_a_model()
    return [None] * len(jobs)


def hang(job: Job) -> None:
    """Note pid and moment in the file that the job names, then run on for an hour."""
    with Path(job.data["notes"]).open("a") as notes:
        notes.write(f"{os.getpid()} {time.monotonic_ns()}\n")
    time.sleep(3600)


def _since_sent(job: Job) -> int | None:
    sent_ns = job.data.get("sent_ns")
    return None if sent_ns is None else time.monotonic_ns() - sent_ns
