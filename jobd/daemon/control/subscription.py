"""Subscriptions: what `logs` and `events` tell, entry by entry as it comes.

They are followed as a client would by asking again, here where it costs no round trip; the reader sets the pace, and
nothing is kept for it but a cursor.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from jobd.engine.trouble import passes
from jobd.errors import RedisRefused, RedisUnavailable, Refused
from jobd.operations import events
from jobd.operations.params.daemon import LogsOf
from jobd.operations.params.kinds import WAIT_MAX_MS
from jobd.operations.params.queues import EventsOf
from jobd.operations.params.reading import read_params
from jobd.protocol.control import BadParams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from jobd.operations.daemon_side import DaemonSide
    from jobd.operations.documents.daemon import Subscribed
    from jobd.operations.operation import Place, Subscriber
    from jobd.operations.params.daemon import Subscribe

MAX_SUBSCRIPTIONS = 64
"""A quarter of the connections: those who only watch must leave room for those who act."""

_PAUSE_S = 0.5
"""Until the next try, while Redis is away."""

_A_PART = 200
"""Entries that are asked for at once: a few seconds of a busy log, and little memory."""


class Subscriptions:
    """How many there are; `async with` is one of them. Raises Refused when there are too many."""

    def __init__(self) -> None:
        self._count = 0

    async def __aenter__(self) -> None:
        if self._count >= MAX_SUBSCRIPTIONS:
            raise Refused("too-many-subscriptions", f"{self._count} subscriptions, and no room for more")
        self._count += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._count -= 1


class _Part(NamedTuple):
    """Some entries; `missed` were forgotten before they could be told, `ends` says that no more can come."""

    entries: Sequence[Mapping[str, Any]]
    missed: int = 0
    ends: bool = False


async def follow(params: Subscribe, caller: Subscriber, daemon: DaemonSide, place: Place) -> Subscribed:
    """Feed the caller until it has enough, has gone, or the daemon ends. Raises as DaemonSide.subscribe."""
    for name in ("limit", "wait_ms"):
        if name in params.params:
            raise BadParams("params", f"params: {name} is not for a subscription")
    read = _logs(params.params, caller, daemon) if params.to == "logs" else _events(params.params, place)
    text = _log_text if params.to == "logs" else _event_text
    sent, over = 0, asyncio.ensure_future(caller.over.wait())
    try:
        while caller.is_there():
            part = await _unless(over, read())
            if part is None:
                return {"entries": sent, "ended": "stopping"}
            if part.missed:
                await caller.feed(f"{part.missed} missed", {"missed": part.missed})
            for entry in part.entries:
                await caller.feed(text(entry), {"entry": entry})
                sent += 1
                if sent == params.limit:
                    return {"entries": sent, "ended": "limit"}
            if part.ends:
                # No queue to follow: wait as long as the reader does, as a log without lines would.
                await asyncio.wait([over], timeout=WAIT_MAX_MS / 1000)
        return {"entries": sent, "ended": "gone"}
    finally:
        over.cancel()


async def _unless(over: asyncio.Future[Any], reading: Awaitable[_Part]) -> _Part | None:
    """Return what was read; None when it is over before."""
    task = asyncio.ensure_future(reading)
    try:
        await asyncio.wait([task, over], return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        task.cancel()


def _logs(given: dict[str, Any], caller: Subscriber, daemon: DaemonSide) -> Callable[[], Awaitable[_Part]]:
    asked: dict[str, Any] = {"after": 0, **given, "limit": _A_PART, "wait_ms": WAIT_MAX_MS}

    async def read() -> _Part:
        found = await daemon.logs(read_params(LogsOf, asked), caller)
        asked["after"] = found["cursor"]
        return _Part(found["lines"], found["missed"])

    return read


def _events(given: dict[str, Any], place: Place) -> Callable[[], Awaitable[_Part]]:
    asked: dict[str, Any] = {**given, "limit": _A_PART}
    begun = False

    async def read() -> _Part:
        nonlocal begun
        try:
            found = await events.read(place, read_params(EventsOf, asked))
        except (RedisUnavailable, RedisRefused) as error:
            if not begun or not passes(error):
                raise
            # It goes on where it was: the ids of the last events told are at hand.
            await asyncio.sleep(_PAUSE_S)
            return _Part(())
        begun = True
        if found["after"]:
            wait_ms = None if found["more"] else WAIT_MAX_MS
            asked.update(after=found["after"], oldest=False, wait_ms=wait_ms)
        return _Part(found["events"], ends=not found["after"])

    return read


def _log_text(line: Mapping[str, Any]) -> str:
    return str(line["line"] or line["event"])


def _event_text(event: Mapping[str, Any]) -> str:
    return " ".join(str(event[name]) for name in ("queue", "event", "jobId") if event[name] is not None)
