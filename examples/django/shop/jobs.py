"""Handlers, and what Django needs around them."""

from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.db import close_old_connections, connections

from jobd import Job

django.setup()  # before the models are imported; in the template process, so it is done once for all workers

from shop.models import User  # noqa: E402


def setup() -> None:
    """Each worker opens its own connections: one opened while the handlers were imported must not be shared."""
    connections.close_all()


@contextmanager
def database() -> Iterator[None]:
    """What Django does around a request: connections that are too old or broken are closed before and after a job."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def welcome(job: Job) -> dict[str, str]:
    user = User.objects.get(id=job.data["userId"])
    User.objects.filter(id=user.id).update(greeted=True)
    return {"greeted": user.email}
