"""Handlers of one queue, each ending in a different way."""

from __future__ import annotations

import asyncio
from typing import Any

from jobd import Job, Unrecoverable


def welcome(job: Job) -> dict[str, Any]:
    """Complete at once. A `def` handler runs in a thread."""
    return {"welcomed": job.data["userId"]}


def flaky(job: Job) -> dict[str, Any]:
    """Fail on the first attempt only; jobd runs it again after the job's backoff."""
    if job.attempt == 1:
        raise ConnectionError("the mail server closed the connection")
    return {"sent_on_attempt": job.attempt}


def broken(job: Job) -> None:
    """Fail for good, however many attempts are left."""
    raise Unrecoverable(f"user {job.data['userId']} has no address")


async def report(job: Job) -> dict[str, Any]:
    """Show progress while it works. An `async def` handler runs on the worker's event loop."""
    pages = job.data["pages"]
    for page in range(1, pages + 1):
        await asyncio.sleep(0.1)
        job.progress(100 * page // pages)
        job.log(f"page {page} of {pages}")
    return {"pages": pages}
