"""Handlers of the queue `email`. One that needs the application's configuration enters its context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import current_app

from jobd import Job
from shop.app import create_app

app = create_app()


@contextmanager
def context() -> Iterator[None]:
    """Make `current_app` and extensions work in handlers (`wrap` in jobd.toml)."""
    with app.app_context():
        yield


def welcome(job: Job) -> dict[str, object]:
    return {"welcomed": job.data["userId"], "by": current_app.name}
