"""The job in every log line: a filter for the standard library's logging, a processor for structlog.

"filters": {"job": {"()": "jobd.logging.JobFilter"}},
"formatters": {"line": {"format": "%(levelname)s %(queue)s/%(job_id)s %(message)s"}},

Put the filter on the *handler* of the log: there it sees the lines of all loggers, those of libraries, too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from jobd.worker.handlers.job import current_job

if TYPE_CHECKING:
    from collections.abc import MutableMapping

NO_JOB = "-"
"""Stands where no job runs: in `setup`, in threads that a library started, outside of a worker."""


class JobFilter(logging.Filter):
    """Gives each record `queue`, `job_id`, `job_name` and `job_attempt` of the job around it; lets all pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; what the record has by `extra` stays."""
        for name, value in _fields().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def add_job(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the same fields to an event of structlog, in a job only (`structlog.configure(processors=[add_job, …])`)."""
    del logger, method
    if current_job() is not None:
        for name, value in _fields().items():
            event.setdefault(name, value)
    return event


def _fields() -> dict[str, Any]:
    job = current_job()
    if job is None:
        return dict.fromkeys(("queue", "job_id", "job_name", "job_attempt"), NO_JOB)
    return {"queue": job.queue, "job_id": job.id, "job_name": job.name, "job_attempt": job.attempt}
