"""The events of queues: BullMQ's streams, merged in order of time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

from jobd.engine.event_stream import (
    FIRST,
    Entry,
    entries_after,
    newest_entries,
    stream_moment,
    wait_for_entries,
)
from jobd.engine.keys import Keys
from jobd.operations.documents.events import QueueEvent, QueueEvents
from jobd.operations.operation import Place
from jobd.operations.params.queues import EventsOf
from jobd.operations.queues import facts_of, queue_names

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EVENTS = 10_000
"""The most events one answer gives."""

_LOOK_S = 0.1
"""How often streams in several slots are looked at."""

_BATCH = 50
"""Queues asked about in one round trip."""

_PAGE_MIN = 20
"""Entries read of each queue at least, however many queues there are."""


async def read(place: Place, params: EventsOf) -> QueueEvents:
    """Tell what happened to the jobs of queues, as BullMQ's streams have it; to follow, ask again with `after`.

    Raises:
        NotThere: as `queue.show`.
    """
    queues = [Keys(place.prefix, name) for name in await _queues(place, params)]
    limit = min(params.limit or 1000, MAX_EVENTS)
    after = {keys.queue: params.after.get(keys.queue, FIRST) for keys in queues}
    if not params.after and not params.oldest:
        return await _newest(place, queues, params, limit)
    if params.after and params.wait_ms and queues:
        await _wait(place, queues, after, params.wait_ms)
    return await _next(place, queues, params, after, limit)


async def _wait(place: Place, queues: Sequence[Keys], after: dict[str, str], wait_ms: int) -> None:
    """Return when one of the queues has a new entry, or after `wait_ms`."""
    if place.runner.one_server:
        await place.runner.run(wait_for_entries(queues, after, 1, wait_ms))
        return
    # Redis waits for streams of one slot only, and a wait that is broken off costs its connection.
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_ms / 1000
    while True:
        if any(await _pages(place, queues, after, 1)) or loop.time() >= end:
            return
        await asyncio.sleep(_LOOK_S)


async def _queues(place: Place, params: EventsOf) -> list[str]:
    if params.queues:
        names = list(dict.fromkeys(params.queues))
        if not params.after:
            for name in names:
                await facts_of(place, name)
        return names
    return list(params.after) or sorted({*await queue_names(place.runner, place.prefix), *await place.own_queues()})


async def _newest(place: Place, queues: Sequence[Keys], params: EventsOf, limit: int) -> QueueEvents:
    """Return the last ones of all streams together.

    A stream of which a full page came has earlier ones that are not here: what is older than the begin of such a page
    would be told with holes.
    """
    size = _page_size(len(queues), limit)
    pages = await _pages(place, queues, {}, size)
    after = {keys.queue: page[-1].id if page else FIRST for keys, page in zip(queues, pages, strict=True)}
    begins = [page[0].moment for page in pages if len(page) == size]
    entries = [entry for entry in _merged(pages) if not begins or entry.moment >= max(begins)]
    return {"events": _events(entries[-limit:], params), "after": after, "more": False}


async def _next(
    place: Place, queues: Sequence[Keys], params: EventsOf, after: dict[str, str], limit: int
) -> QueueEvents:
    """Return the next ones of all streams together.

    A stream of which a full page came may have more that are older than what other streams gave: what is later than
    the end of such a page has to wait.
    """
    size = _page_size(len(queues), limit)
    pages = await _pages(place, queues, after, size)
    ends = [page[-1].moment for page in pages if len(page) == size]
    entries = [entry for entry in _merged(pages) if not ends or entry.moment <= min(ends)]
    more = bool(ends) or len(entries) > limit
    entries = entries[:limit]
    for entry in entries:
        after[entry.queue] = entry.id
    return {"events": _events(entries, params), "after": after, "more": more}


def _page_size(queues: int, limit: int) -> int:
    """Return how many entries of each queue are read: with many queues a few, or they would fill the memory."""
    return max(_PAGE_MIN, min(limit, 4 * limit // max(1, queues)))


async def _pages(place: Place, queues: Sequence[Keys], after: dict[str, str], limit: int) -> list[list[Entry]]:
    found: list[list[Entry]] = []
    for start in range(0, len(queues), _BATCH):
        some = queues[start : start + _BATCH]
        commands = [
            entries_after(keys, after[keys.queue], limit) if after else newest_entries(keys, limit) for keys in some
        ]
        found += await place.runner.run_many(commands)
    return found


def _merged(pages: Sequence[list[Entry]]) -> list[Entry]:
    return sorted((entry for page in pages for entry in page), key=lambda entry: entry.moment)


def _events(entries: Sequence[Entry], params: EventsOf) -> list[QueueEvent]:
    return [
        _event(entry)
        for entry in entries
        if (params.name is None or fnmatchcase(entry.fields.get("event", ""), params.name))
        and (params.job is None or entry.fields.get("jobId") == params.job)
    ]


def _event(entry: Entry) -> QueueEvent:
    moment = datetime.fromtimestamp(stream_moment(entry.id)[0] / 1000, tz=UTC)
    known = {
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
        "queue": entry.queue,
        "event": entry.fields.get("event", ""),
        "jobId": entry.fields.get("jobId"),
    }
    return cast("QueueEvent", known | {name: text for name, text in entry.fields.items() if name not in known})
