"""One engine per worker, one session per job: committed when the handler returns, rolled back when it raises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///shop.db"), pool_pre_ping=True)
make_session = sessionmaker(engine)
_session: ContextVar[Session] = ContextVar("session")


def setup() -> None:
    """Each worker begins with an empty pool: connections of the process it was forked from must not be shared."""
    engine.dispose(close=False)


@contextmanager
def session_per_job() -> Iterator[None]:
    """Wrap a job in a transaction of its own. A context variable, since handlers run side by side in threads."""
    with make_session.begin() as session:
        token = _session.set(session)
        try:
            yield
        finally:
            _session.reset(token)


def session() -> Session:
    """Return the session of the job that is being run."""
    return _session.get()
