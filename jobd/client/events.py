"""What happens to the jobs of a queue, one event after the other, as BullMQ's stream has them.

A reader keeps the id of the last event it was given: after a lost connection or a failover it goes on behind it, so
nothing that the stream still has is left out or told twice.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.duration import to_ms
from jobd.engine.event_stream import FIRST, entries_after, newest_entries, stream_moment, wait_for_entries
from jobd.engine.events import Event
from jobd.engine.outcome import result_of
from jobd.engine.trouble import passes
from jobd.errors import InputError, RedisRefused, RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from jobd.engine.event_stream import Entry
    from jobd.engine.keys import Keys
    from jobd.engine.runner import AsyncRunner, Command, SyncRunner

_PAGE = 500
_STREAM_ID = re.compile(r"\d+(-\d+)?")
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """One event. `name` is BullMQ's, or that of a custom event; `fields` are its texts as they lie in the stream.

    `job_id` is None for an event of the queue as a whole (paused, drained, …). `id` is the place in the stream: whoever
    keeps it goes on behind it later (`after`).
    """

    id: str
    queue: str
    name: str
    job_id: str | None
    fields: Mapping[str, str]

    @property
    def at(self) -> int:
        """When it was written, by Redis' clock, in ms since 1970."""
        return stream_moment(self.id)[0]

    @property
    def result(self) -> Any:
        """What the job returned; None unless it completed."""
        return result_of(self.fields.get("returnvalue", "null")) if self.name == Event.COMPLETED else None

    @property
    def failed_reason(self) -> str | None:
        """Why the job failed; None unless it did, for good."""
        return self.fields.get("failedReason")

    @property
    def progress(self) -> Any:
        """What the job told of its progress; None in other events."""
        return result_of(self.fields.get("data", "null")) if self.name == Event.PROGRESS else None

    @property
    def due_at(self) -> int | None:
        """When a delayed job is due, in ms since 1970; None in other events."""
        delay = self.fields.get("delay", "")
        return int(float(delay)) if self.name == Event.DELAYED and re.fullmatch(r"-?\d+(\.\d+)?", delay) else None

    @property
    def previous(self) -> str | None:
        """The state it comes from, where the event says so."""
        return self.fields.get("prev")


class Reading:
    """Where a reader is, and what it wants to see."""

    def __init__(self, keys: Keys, names: Sequence[str], job: object, after: str | None) -> None:
        """`job` is an id, or has one (`.id`).

        Raises:
            InputError: `after` is no id of an event.
        """
        if after is not None and not _STREAM_ID.fullmatch(str(after)):
            raise InputError(f'after: expected the id of an event, or "0" for all that are kept, got {after!r}')
        self._keys = keys
        self._names = frozenset(names)
        self._job = None if job is None else str(getattr(job, "id", job))
        self.after = None if after is None else str(after)

    def last(self) -> Command[list[Entry]]:
        """Ask for the last event there is: `begin` with the answer."""
        return newest_entries(self._keys, 1)

    def begin(self, last: list[Entry]) -> None:
        """Read what comes behind that."""
        self.after = last[0].id if last else FIRST

    def page(self) -> Command[list[Entry]]:
        """Ask for what is there."""
        return entries_after(self._keys, self.after or FIRST, _PAGE)

    def wait(self, block_ms: int) -> Command[bool]:
        """Wait until something is there."""
        return wait_for_entries([self._keys], {self._keys.queue: self.after or FIRST}, 1, block_ms)

    def seen(self, entry: Entry) -> QueueEvent | None:
        """Go behind an event; return it when it is wanted."""
        self.after = entry.id
        name, job_id = entry.fields.get("event", ""), entry.fields.get("jobId")
        if (self._names and name not in self._names) or (self._job is not None and job_id != self._job):
            return None
        return QueueEvent(entry.id, entry.queue, name, job_id, entry.fields)


class _Patience:
    """How long until the next event (`timeout`), and until Redis is asked again."""

    def __init__(self, timeout: str | float | None, block_ms: int) -> None:
        self._limit_s = None if timeout is None else to_ms(timeout) / 1000
        self._block_ms = block_ms
        self._pause_s = _PAUSE_S
        self.came()

    def came(self) -> None:
        self._since = time.monotonic()

    def answered(self) -> None:
        self._pause_s = _PAUSE_S

    def block_ms(self) -> int:
        return max(1, min(self._block_ms, int(self._left_s() * 1000)))

    def is_over(self) -> bool:
        return self._left_s() <= 0

    def pause_s(self, error: RedisUnavailable | RedisRefused) -> float:
        """Return how long to wait before the next try; raises what time does not mend."""
        if not passes(error):
            raise error
        pause, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return min(pause, max(0.0, self._left_s()))

    def _left_s(self) -> float:
        return 1e6 if self._limit_s is None else self._limit_s - (time.monotonic() - self._since)


def follow(
    reading: Reading, runner: Callable[[], SyncRunner | None], limit: str | float | None, block_ms: int
) -> Iterator[QueueEvent]:
    """Yield events as they come; ends when `runner` gives None (the queue was closed), or after `limit` without one."""
    patience = _Patience(limit, block_ms)
    while (through := runner()) is not None:
        try:
            entries = through.run(reading.page())
            if not entries and not patience.is_over():
                through.run(reading.wait(patience.block_ms()))
        except (RedisUnavailable, RedisRefused) as error:
            if runner() is None:
                return
            time.sleep(patience.pause_s(error))
            entries = []
        except Exception:
            # Closing takes the connection away in mid-read; redis-py trips over whatever it touches next.
            if runner() is None:
                return
            raise
        else:
            patience.answered()
        for entry in entries:
            event = reading.seen(entry)
            if event is not None:
                yield event
                patience.came()
        if not entries and patience.is_over():
            return


async def follow_async(
    reading: Reading, runner: Callable[[], AsyncRunner | None], limit: str | float | None, block_ms: int
) -> AsyncIterator[QueueEvent]:
    """As follow. Without `after` it begins behind the last event there is when the first one is asked for."""
    patience = _Patience(limit, block_ms)
    while (through := runner()) is not None:
        try:
            if reading.after is None:
                reading.begin(await through.run(reading.last()))
            entries = await through.run(reading.page())
            if not entries and not patience.is_over():
                await through.run(reading.wait(patience.block_ms()))
        except (RedisUnavailable, RedisRefused) as error:
            if runner() is None:
                return
            await asyncio.sleep(patience.pause_s(error))
            entries = []
        else:
            patience.answered()
        for entry in entries:
            event = reading.seen(entry)
            if event is not None:
                yield event
                patience.came()
        if not entries and patience.is_over():
            return
