"""How the page gets its documents: from the daemon that answers, else, where it can be done without, from Redis.

A daemon may come and go while the page runs: every request looks anew. What a page reads is shared by its viewers.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from anyio import CapacityLimiter, to_thread

from jobd.engine.routing import runner_on
from jobd.errors import DaemonAway
from jobd.locate import redis_source
from jobd.operations.operation import NamedCaller, Needs, Place
from jobd.operations.params.reading import read_params
from jobd.protocol.control import STATUS_SOCKET
from jobd.protocol.control_client import ControlClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jobd.engine.runner import AsyncRunner
    from jobd.operations.operation import Operation, P, R

_ANSWER_LIMIT_S = 15.0
"""What only reads is answered in milliseconds; a daemon that takes longer is told as away."""

_THREADS = 64
_KEPT_MAX = 500
"""Answers kept for the live pages at once."""

_FIELD_MAX = 1024 * 1024
"""Bytes of one field of a job that is read without a daemon: more is no page."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where documents come from: the sockets to try, and the Redis as the command line was told."""

    sockets: Callable[[], Sequence[Path]]
    redis: str | None
    config: str | None


class DaemonOrRedis:
    """Asks for operations, for any number of requests at once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._threads = CapacityLimiter(_THREADS)
        self._runner: AsyncRunner | None = None
        self._prefix = ""
        self._kept: dict[str, tuple[float, asyncio.Task[Any]]] = {}
        self.reads_only = False
        """The daemon let this user to its status socket only."""
        self._answered: Path | None = None

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._runner is not None:
            await self._runner.aclose()

    async def ask(
        self,
        operation: Operation[P, R],
        params: Mapping[str, Any] | None = None,
        *,
        who: str,
        behalf: str | None = None,
        progress: Callable[[str], None] | None = None,
        timeout: float | None = _ANSWER_LIMIT_S,  # noqa: ASYNC109 - of the socket, which a thread waits at
    ) -> R:
        """Return the document of one operation.

        Args:
            who: The user's name, kept with a change that is done on Redis without a daemon.
            behalf: The same for the daemon, where it is another than the one this process runs as.

        Raises:
            DaemonAway: only a daemon can do it, and none answers.
            JobdError: as the operation.
            TimeoutError: no answer in time.
        """
        given = dict(params or {})
        if not self._target.redis or operation.needs is Needs.DAEMON:
            call = partial(self._call, operation.name, given, behalf, self._from_thread(progress), timeout)
            try:
                found = await to_thread.run_sync(call, limiter=self._threads, abandon_on_cancel=True)
                return cast("R", found)
            except _NobodyThere as gone:
                if operation.needs is Needs.DAEMON:
                    raise gone.away from None
        caller = NamedCaller(behalf or who, progress or (lambda text: None))
        runner = self._redis()
        return await operation.method()(
            Place(runner, self._prefix, caller, field_max=_FIELD_MAX), read_params(operation.params, given)
        )

    async def shared(
        self, operation: Operation[P, R], params: Mapping[str, Any] | None = None, *, who: str, max_age_s: float
    ) -> R:
        """Return a document that is at most so old: those who ask for the same at the same time get the same."""
        key = operation.name + json.dumps(params or {}, sort_keys=True)
        now = time.monotonic()
        made = self._kept.get(key)
        if made is None or now - made[0] > max_age_s:
            if len(self._kept) >= _KEPT_MAX:
                self.forget()
            made = (now, asyncio.create_task(self.ask(operation, params, who=who)))
            made[1].add_done_callback(_seen)
            self._kept[key] = made
        return cast("R", await asyncio.shield(made[1]))

    def forget(self) -> None:
        """Read everything anew from now on: something was changed."""
        self._kept.clear()

    def _call(
        self,
        method: str,
        params: dict[str, Any],
        behalf: str | None,
        progress: Callable[[str], None] | None,
        limit_s: float | None,
    ) -> dict[str, Any]:
        if self._target.redis:
            text = "only a daemon knows this, and this page was started with --redis: it reads Redis and asks no daemon"
            raise _NobodyThere(DaemonAway(text))
        # Where it answered before comes first: the file may be in the middle of an edit, and say no place or another.
        places = [self._answered] if self._answered is not None else []
        try:
            daemon = ControlClient.connect([*places, *(path for path in self._target.sockets() if path not in places)])
        except DaemonAway as error:
            raise _NobodyThere(error) from None
        with daemon:
            self.reads_only = daemon.path.name == STATUS_SOCKET
            self._answered = None if self.reads_only else daemon.path
            return daemon.call(method, params, on_progress=progress, timeout=limit_s, behalf=behalf)

    def _from_thread(self, progress: Callable[[str], None] | None) -> Callable[[str], None] | None:
        if progress is None:
            return None
        loop = asyncio.get_running_loop()

        def pass_on(text: str) -> None:
            loop.call_soon_threadsafe(progress, text)

        return pass_on

    def _redis(self) -> AsyncRunner:
        if self._runner is None:
            source = redis_source(self._target.redis, config=self._target.config)
            self._runner, self._prefix = runner_on(source), source.prefix
        return self._runner


class _NobodyThere(Exception):
    """No daemon listens: it was not asked, so Redis may be. One that went away in the middle is another matter."""

    def __init__(self, away: DaemonAway) -> None:
        super().__init__(str(away))
        self.away = away


def _seen(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from complaining of an error that nobody waited for."""
    if not task.cancelled():
        task.exception()
