from __future__ import annotations

import logging

import structlog

from jobd import Job
from shop import billing

log = logging.getLogger(__name__)
events = structlog.get_logger()


def pay(job: Job) -> None:
    log.info("begins")
    billing.book(job.data["amount"])  # knows nothing of jobs, and its lines carry this one all the same
    events.info("paid", amount=job.data["amount"])
