"""Sentry: a scope for each job, with the job in it; started after the fork, flushed at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sentry_sdk

from jobd import Job, RetryLater, WaitForChildren


def setup() -> None:
    """Start in each worker: the SDK's sending thread would not survive the fork."""
    sentry_sdk.init(dsn=os.environ.get("SENTRY_DSN"), traces_sample_rate=0)


def teardown() -> None:
    sentry_sdk.flush(timeout=2)


@contextmanager
def job_scope(job: Job) -> Iterator[None]:
    """Report what a handler raises, with the job it ran; an exception that only postpones the job is not an error."""
    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("queue", job.queue)
        scope.set_tag("job", job.name)
        scope.set_context("jobd", {"id": job.id, "attempt": job.attempt, "attempts": job.attempts})
        scope.set_transaction_name(f"{job.queue}/{job.name}")
        try:
            yield
        except (RetryLater, WaitForChildren):
            raise
        except Exception:
            # Each attempt is an event; for the last one only, use `on_failed` instead.
            sentry_sdk.capture_exception()
            raise
