"""What the sync and the asyncio queue have in common: where they belong, what they build, how they tell endings."""

from __future__ import annotations

import os
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from jobd.clock import SYSTEM_CLOCK
from jobd.duration import to_ms
from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.engine.options import check_prefix, check_queue_name, kind_of, new_job
from jobd.errors import InputError, JobFailed, NotThere, RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from jobd.engine.new_job import Added, NewJob
    from jobd.engine.outcome import Ending
    from jobd.locate import RedisSource

RECHECK_S = 5.0
"""How often a waiter looks at the job itself: an event can be trimmed away before it is read."""

READER_BLOCK_S = 2.0
"""The longest a reader of events waits in Redis; below the answer limit, or a quiet queue would look like no Redis."""


class Producer:
    """A queue's name and place, known and checked; no connection yet."""

    is_in_memory: ClassVar[bool] = False
    """Set by jobd.testing.FakeQueue: no Redis is used, so none is looked for."""

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        prefix: str | None = None,
        config: str | Path | None = None,
        answer_limit: str | float = "5s",
        connection: Any = None,
    ) -> None:
        self.name: str = check_queue_name(name)
        self._connection = connection
        if connection is None and not self.is_in_memory:
            from jobd.locate import inherited_source, redis_source

            self._source = redis_source(url, prefix=prefix, config=config)
            self._inherits = url is None and config is None and inherited_source(os.environ) is not None
        else:
            self._source = self._given_source(url, prefix, config)
            self._inherits = False
        self.keys: Keys = Keys(check_prefix(self._source.prefix), name)
        self.answer_limit_s: float = to_ms(answer_limit) / 1000
        if not self.answer_limit_s:
            raise InputError("answer_limit: must be longer than 0")
        self._beside: dict[str, Self] = {}
        limits = [READER_BLOCK_S, self.answer_limit_s / 2]
        if connection is not None:
            # Theirs: a read that waits in Redis for longer would look like a lost connection.
            limits += [limit / 2 for limit in [_pool_of(connection).connection_kwargs.get("socket_timeout")] if limit]
        self.block_ms: int = max(1, int(min(limits) * 1000))

    def _given_source(self, url: str | None, prefix: str | None, config: str | Path | None) -> RedisSource:
        """Return what is told of a Redis that the application connects to itself, or of memory."""
        from jobd.locate import RedisSource

        if self._connection is not None:
            if url is not None or config is not None:
                raise InputError("connection: give either it or url, config")
            self._check_connection(self._connection)
        source = RedisSource("", origin="connection")
        return replace(source, prefix=prefix) if prefix else source

    def _check_connection(self, connection: Any) -> None:
        """Raise InputError when it is not of the kind this queue talks through."""
        raise NotImplementedError

    def __repr__(self) -> str:
        place = self._connection if self._connection is not None else self.source.shown
        return f"{type(self).__name__}({self.name!r}, {place!r}, prefix={self.source.prefix!r})"

    @property
    def source(self) -> RedisSource:
        """The Redis it belongs to.

        Inside a worker this is the daemon's, asked for each time: a module that a template has imported knows its
        address only in the worker, and a password may be renewed.
        """
        if self._inherits:
            from jobd.locate import redis_source

            return redis_source(prefix=self.keys.prefix)
        return self._source

    def beside(self, keys: Keys) -> Self:
        """Return a queue object like this one for other keys on the same Redis; this one itself for its own."""
        if keys.base == self.keys.base:
            return self
        found = self._beside.get(keys.base)
        if found is None:
            found = copy(self)
            found.name, found.keys, found._beside = keys.queue, keys, self._beside
            found._start()
            self._beside[keys.base] = found
        return found

    def _start(self) -> None:
        """Begin without connections."""
        raise NotImplementedError

    def build_many(self, jobs: Iterable[Sequence[Any]]) -> list[NewJob]:
        """Return the checked jobs of (name,), (name, data) or (name, data, options).

        Raises:
            InputError: the first that is wrong, with its position from 0.
        """
        now_ms = SYSTEM_CLOCK.now_ms()
        built: list[NewJob] = []
        for item in jobs:
            try:
                built.append(_build(item, now_ms, self.keys.prefix))
            except InputError as error:
                raise InputError(f"job {len(built)} of add_many: {error}") from error
        return built


def _pool_of(connection: Any) -> Any:
    """Return the pool of the application's client; the client may be a pool itself."""
    return getattr(connection, "connection_pool", connection)


def check_kind(connection: Any, client: type, pool: type, shown: str) -> None:
    """Raise InputError when `connection` is neither of these: a mix-up of sync and asyncio would fail much later."""
    if not isinstance(connection, client | pool):
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise InputError(f"connection: expected a {shown} or its pool, got a {kind}")


def _build(item: Sequence[Any], now_ms: int, prefix: str) -> NewJob:
    if not isinstance(item, tuple | list) or not 1 <= len(item) <= 3:
        raise InputError("expected (name, data) or (name, data, options)")
    options = item[2] if len(item) > 2 else None
    if options is not None and not isinstance(options, dict):
        raise InputError(f"expected a dict of options, got {kind_of(options)}")
    return new_job(item[0], item[1] if len(item) > 1 else {}, options, now_ms=now_ms, prefix=prefix)


def check_added(added: Added, job: NewJob) -> Added:
    """Return what became of an add.

    Raises:
        NotThere: the job's parent does not exist; nothing was written.
        InputError: the job exists and is the child of another parent.
    """
    if added.code == Code.MISSING_PARENT and job.parent is not None:
        message = f'cannot add job "{job.name}": its parent "{job.parent.key}" does not exist'
        raise NotThere("job", job.parent.id, message)
    if added.code == Code.PARENT_TAKEN:
        raise InputError(f'cannot add job "{added.job_id}" to this parent: it is the child of another one')
    return added


def lost_add(error: RedisUnavailable, progress: str = "") -> RedisUnavailable:
    """Return what an add says when its answer did not come: whether it was added is unknown, or it was not."""
    known = "unknown whether added; a job_id makes it safe to repeat" if error.may_have_run else "not added"
    return RedisUnavailable(f"{known}{progress}: {error}", trouble=error.trouble, may_have_run=error.may_have_run)


def finish(job_id: str, ending: Ending) -> Any:
    """Return the result of a completed job.

    Raises:
        JobFailed: it failed for good.
        NotThere: it was removed, or nothing is known of it any more.
    """
    from jobd.engine.outcome import End, result_of

    if ending.end is End.COMPLETED:
        return result_of(ending.value)
    if ending.end is End.FAILED:
        raise JobFailed(job_id, ending.value)
    how = "was removed" if ending.end is End.REMOVED else "is gone, and so is the event with its result"
    raise NotThere("job", job_id, f'job "{job_id}" {how}')


def timed_out(job_id: str, timeout: str | float | None) -> TimeoutError:
    """Return what a wait says at its end."""
    shown = timeout if isinstance(timeout, str) else f"{timeout}s"
    return TimeoutError(f"job {job_id} did not finish within {shown}")
