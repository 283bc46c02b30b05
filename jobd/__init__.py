"""jobd: a declarative worker daemon for BullMQ queues.

The names here are loaded when they are first used, so `import jobd` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.lazy import lazy_names

if TYPE_CHECKING:
    from jobd.client import AsyncQueue, Backoff, Flow, Queue
    from jobd.errors import (
        Cancelled,
        InputError,
        JobdError,
        JobFailed,
        JobTimeout,
        RateLimited,
        RedisUnavailable,
        RetryLater,
        Unrecoverable,
        WaitForChildren,
    )
    from jobd.worker.handlers.job import Job, current_job

__version__ = "0.1.0"

_HOMES = {
    "Job": "jobd.worker.handlers.job",
    "current_job": "jobd.worker.handlers.job",
    "Queue": "jobd.client",
    "AsyncQueue": "jobd.client",
    "Backoff": "jobd.client",
    "Flow": "jobd.client",
    "Cancelled": "jobd.errors",
    "InputError": "jobd.errors",
    "JobFailed": "jobd.errors",
    "JobTimeout": "jobd.errors",
    "JobdError": "jobd.errors",
    "RateLimited": "jobd.errors",
    "RedisUnavailable": "jobd.errors",
    "RetryLater": "jobd.errors",
    "Unrecoverable": "jobd.errors",
    "WaitForChildren": "jobd.errors",
}

__all__ = [
    "AsyncQueue",
    "Backoff",
    "Cancelled",
    "Flow",
    "InputError",
    "Job",
    "JobFailed",
    "JobTimeout",
    "JobdError",
    "Queue",
    "RateLimited",
    "RedisUnavailable",
    "RetryLater",
    "Unrecoverable",
    "WaitForChildren",
    "current_job",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
