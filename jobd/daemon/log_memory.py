"""The last lines of the daemon's log, kept for `jobd logs` whatever they are written to."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jobd.daemon.logs import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.operations.documents.daemon import LogLine

LIMIT_BYTES = 8 * 1024 * 1024
"""What is kept, the cost of keeping it counted: some ten thousand lines."""

_OVERHEAD = 200
"""Bytes that Python takes for a line beside its text."""

_A_PART = 500
"""Lines that are looked at in one go: a search must not keep renewals waiting."""


class Line(NamedTuple):
    """One line: what it is searched by, and the whole of it as JSON."""

    number: int
    at: float
    level: int
    queue: str | None
    pid: int | None
    jobs: tuple[str, ...]
    text: bytes


@dataclass(frozen=True, slots=True)
class Search:
    """Which lines; what is None takes all. `since` is a moment of the wall clock, `grep` a text in any value."""

    queue: str | None = None
    job: str | None = None
    pid: int | None = None
    since: float | None = None
    level: int = logging.NOTSET
    grep: str | None = None

    def takes(self, line: Line) -> bool:
        """Return whether a line is meant."""
        return (
            line.level >= self.level
            and (self.queue is None or line.queue == self.queue)
            and (self.pid is None or line.pid == self.pid)
            and (self.job is None or self.job in line.jobs)
            and (self.since is None or line.at >= self.since)
            and (self.grep is None or any(self.grep in value for value in _values(line)))
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Lines, oldest first. `cursor` is where to go on, `more` whether there are some by now.

    `missed` counts lines after the cursor that was given which are forgotten already.
    """

    lines: list[LogLine]
    cursor: int
    more: bool
    missed: int


class LogMemory(logging.Handler):
    """Takes every record; belongs to one event loop, records may come from any thread."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._limit = limit_bytes
        self._lines: deque[Line] = deque()
        self._bytes = 0
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line; the oldest go for it."""
        try:
            line = _line(self._count + 1, record, self.format(record))
        except Exception:
            return  # a line of the log must never end what it reports on; the other handlers say that it failed
        self._count = line.number
        self._lines.append(line)
        self._bytes += len(line.text) + _OVERHEAD
        while self._bytes > self._limit:
            self._bytes -= len(self._lines.popleft().text) + _OVERHEAD
        for waiter in tuple(self._waiting):
            waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    def queues(self) -> set[str]:
        """Return the queues that lines are about."""
        return {line.queue for line in tuple(self._lines) if line.queue is not None}

    async def newest(self, search: Search, limit: int) -> Found:
        """Return the last `limit` lines that are meant."""
        kept: deque[Line] = deque(maxlen=limit)
        for number, line in enumerate(tuple(self._lines)):
            if search.takes(line):
                kept.append(line)
            if number % _A_PART == _A_PART - 1:
                await asyncio.sleep(0)
        return Found([_document(line) for line in kept], self._count, False, 0)

    async def after(self, cursor: int, search: Search, limit: int) -> Found:
        """Return the first `limit` lines after a cursor; 0 begins with the oldest."""
        lines = tuple(self._after(cursor))
        missed = max(0, lines[0].number - cursor - 1) if lines and cursor else 0
        found: list[LogLine] = []
        for number, line in enumerate(lines):
            if search.takes(line):
                found.append(_document(line))
            cursor = line.number
            if len(found) == limit:
                break
            if number % _A_PART == _A_PART - 1:
                await asyncio.sleep(0)
        return Found(found, cursor, cursor < self._count, missed)

    async def wait_after(self, cursor: int, search: Search, limit: int, wait_s: float) -> Found:
        """As `after`; when there is none yet, wait for the first one as long as `wait_s`."""
        missed = 0
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    found = await self.after(cursor, search, limit)
                    cursor, missed = found.cursor, missed + found.missed
                    if found.lines or missed:
                        return Found(found.lines, cursor, found.more, missed)
                    if not found.more:
                        await self._next()
        except TimeoutError:
            return Found([], cursor, False, missed)

    def _after(self, cursor: int) -> Iterator[Line]:
        """Yield the lines after a cursor. From behind: who follows the log asks for the last few."""
        newer: list[Line] = []
        for line in reversed(self._lines):
            if line.number <= cursor:
                break
            newer.append(line)
        return reversed(newer)

    async def _next(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _line(number: int, record: logging.LogRecord, text: str) -> Line:
    fields: dict[str, Any] = getattr(record, "fields", {})
    queue, pid, job, jobs = (fields.get(name) for name in ("queue", "pid", "job", "jobs"))
    ids = [str(job)] if job is not None else []
    ids += [str(one) for one in jobs] if isinstance(jobs, list | tuple) else []
    return Line(
        number, record.created, record.levelno, queue if isinstance(queue, str) else None,
        pid if isinstance(pid, int) else None, tuple(ids), text.encode("ascii", "backslashreplace"),
    )  # fmt: skip


def _document(line: Line) -> LogLine:
    # What every line has stands first, null where it says nothing; then the fields of this event.
    nothing = dict.fromkeys(("time", "level", "event", "queue", "pid", "job", "line"))
    return cast("LogLine", nothing | json.loads(line.text))


def _values(line: Line) -> Iterator[str]:
    for value in json.loads(line.text).values():
        yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
