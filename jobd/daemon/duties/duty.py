"""Recurring work of the daemon: `start`, `stop`, `run_once`; twice or too early is harmless.

An idle daemon sleeps. Work that has a moment is done at that moment; what only needs a look now and then shares one
wake-up a second with everything else of that kind; and where nothing can become due before something changes, whoever
changes it calls `look_within`.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused, RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = event_log(__name__)

NOTHING_DUE_S = 60.0
"""The pause of a duty that has nothing to do before something changes, which it is told of."""

SOON_S = 0.25
"""Within this time a duty looks at what has changed; a burst of changes is one look."""

_CANCEL_AGAIN_S = 1.0


class Duty:
    """Runs `run_once` again and again; what it raises is logged and does not end it.

    `on_redis` is told the duty's name and the outcome of each run: None, or what is wrong with Redis.
    """

    name = "duty"
    needs_workers = True
    """Whether it starts behind the workers; else it is at work while the handlers are still being imported."""
    refused_pause_s = 1.0
    """Until the next time when Redis has refused something."""

    def __init__(self, on_redis: Callable[[str, str | None], None] = lambda name, trouble: None) -> None:
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._awake = asyncio.Event()
        self._limit_s = math.inf
        """The longest that the next pause may be: somebody asked while it was at work."""
        self._on_redis = on_redis
        self._in_trouble = False

    async def run_once(self) -> float:
        """Do the work once; return the seconds until the next time. A second or more may be cut by less than one."""
        raise NotImplementedError

    def look_within(self, limit_s: float = 0.0) -> None:
        """Do the work within so many seconds, whatever the last time said; harmless when it never began."""
        if self._alarm is None:
            self._limit_s = min(self._limit_s, limit_s)
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + limit_s
        if at < self._alarm.when():
            self._alarm.cancel()
            self._alarm = loop.call_at(at, self._awake.set)

    def start(self) -> None:
        """Begin; harmless when begun before."""
        if self._task is None:
            self._task = asyncio.create_task(self._loop(), name=self.name)

    async def stop(self) -> None:
        """End; returns when it has ended. Harmless when it never began."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            # Again and again: redis-py opens connections by asyncio.wait_for, which in Python 3.11 may swallow one.
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)

    async def _loop(self) -> None:
        pause = 0.0
        while True:
            await self._rest(min(pause, self._limit_s))
            self._limit_s = math.inf
            pause = await self._once()

    async def _rest(self, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._awake.clear()
        self._alarm = loop.call_at(next_time(loop.time(), pause_s), self._awake.set)
        try:
            await self._awake.wait()
        finally:
            self._alarm.cancel()
            self._alarm = None

    async def _once(self) -> float:
        try:
            pause = await self.run_once()
        except RedisUnavailable as error:
            self._trouble("Redis is away", str(error))
            self._on_redis(self.name, error.trouble)
            return 0.25
        except RedisRefused as error:
            self._trouble("Redis refused", str(error))
            self._on_redis(self.name, shown_refusal(error))
            return self.refused_pause_s
        except Exception as error:
            # A duty must go on: without renewal every job would run twice.
            log.exception("duty failed", duty=self.name, error=str(error))
            return 1.0
        if self._in_trouble:
            self._in_trouble = False
            log.info("duty works again", duty=self.name)
        self._on_redis(self.name, None)
        return pause

    def _trouble(self, event: str, error: str) -> None:
        # Once until it works again: an hour without Redis must not fill the log.
        if not self._in_trouble:
            self._in_trouble = True
            log.warning(event, duty=self.name, error=error)


def next_time(now: float, pause_s: float) -> float:
    """Return when a pause is over: one of a second or more ends with a whole second, together with the others'."""
    return float(math.floor(now + pause_s)) if pause_s >= 1.0 else now + pause_s


def raise_refusal(answers: Iterable[object]) -> None:
    """Raise the first refusal among answers, once those of the other queues have been seen to."""
    for answer in answers:
        if isinstance(answer, RedisRefused):
            raise answer


def shown_refusal(error: RedisRefused) -> str:
    """Return what Redis refused in the few words of `degraded_by`."""
    if error.trouble != Trouble.OTHER:
        return error.trouble
    return str(error).splitlines()[0][:120]
