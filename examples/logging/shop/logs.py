"""The job in every log line, for the standard library's logging and for structlog."""

from __future__ import annotations

import logging.config

import structlog

import jobd.logging


def setup() -> None:
    """Configure both, in each worker."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"job": {"()": "jobd.logging.JobFilter"}},
            "formatters": {"line": {"format": "%(levelname)s %(queue)s/%(job_id)s %(name)s: %(message)s"}},
            # The filter belongs to the handler, where it sees the lines of every logger.
            "handlers": {"out": {"class": "logging.StreamHandler", "filters": ["job"], "formatter": "line"}},
            "root": {"level": "INFO", "handlers": ["out"]},
        }
    )
    structlog.configure(
        processors=[
            jobd.logging.add_job,
            structlog.processors.add_log_level,
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(sort_keys=True),
        ]
    )
