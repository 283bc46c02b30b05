"""What the daemon remembers of its log: searched, followed, bounded."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from jobd.daemon.log_memory import LogMemory, Search

ALL = Search()


def log(memory: LogMemory, event: str, level: int = logging.INFO, **fields: Any) -> None:
    values = {"msg": event, "levelno": level, "levelname": logging.getLevelName(level), "fields": fields}
    memory.handle(logging.makeLogRecord(values))


def newest(memory: LogMemory, search: Search = ALL, limit: int = 100) -> list[str]:
    found = asyncio.run(memory.newest(search, limit)).lines
    return [line["event"] for line in found]


def test_every_line_has_the_seven_members_and_its_own() -> None:
    memory = LogMemory()
    log(memory, "output", queue="email", worker=0, pid=7, job="3", line="é\x1b[2J")
    log(memory, "ready", queues=1)
    printed, ready = asyncio.run(memory.newest(ALL, 10)).lines
    assert list(printed) == ["time", "level", "event", "queue", "pid", "job", "line", "worker"]
    assert (printed["line"], printed["pid"], printed["job"]) == ("é\x1b[2J", 7, "3")
    assert (ready["queue"], ready["line"], ready["level"]) == (None, None, "info")


@pytest.mark.parametrize(
    ("search", "events"),
    [
        (Search(queue="email"), ["a", "b"]),
        (Search(job="3"), ["a", "c"]),
        (Search(pid=8), ["b"]),
        (Search(level=logging.WARNING), ["c"]),
        (Search(grep="half"), ["b"]),
        (Search(grep="queue"), []),
        (Search(grep="[1, 2]"), ["d"]),
        (Search(since=5e9), []),
    ],
)
def test_a_search_takes_what_fits(search: Search, events: list[str]) -> None:
    memory = LogMemory()
    log(memory, "a", queue="email", pid=7, job="3")
    log(memory, "b", queue="email", pid=8, line="half way")
    log(memory, "c", logging.ERROR, queue="video", jobs=["3", "4"])
    log(memory, "d", params=[1, 2])
    assert newest(memory, search) == events


def test_the_oldest_lines_go_when_there_is_no_room_and_a_reader_is_told() -> None:
    memory = LogMemory(limit_bytes=100_000)
    for number in range(500):
        log(memory, f"line {number}", line="x" * 500)
    kept = newest(memory, limit=1000)
    assert 100 < len(kept) < 200
    assert kept[-1] == "line 499"
    found = asyncio.run(memory.after(10, ALL, 10))
    assert (found.missed, len(found.lines), found.more) == (500 - len(kept) - 10, 10, True)


def test_pages_follow_one_another_without_a_gap() -> None:
    memory = LogMemory()
    for number in range(25):
        log(memory, f"{number}", queue="email" if number % 2 else "video")

    async def read() -> list[str]:
        events, cursor, more = [], 0, True
        while more:
            found = await memory.after(cursor, Search(queue="email"), 5)
            events += [line["event"] for line in found.lines]
            cursor, more = found.cursor, found.more
        return events

    assert asyncio.run(read()) == [str(number) for number in range(1, 25, 2)]


def test_who_waits_gets_the_next_line_that_fits() -> None:
    memory = LogMemory()

    async def follow() -> list[str]:
        waiting = asyncio.create_task(memory.wait_after(0, Search(queue="email"), 10, 20))
        await asyncio.sleep(0)
        await asyncio.to_thread(log, memory, "other", queue="video")
        await asyncio.to_thread(log, memory, "meant", queue="email")
        return [line["event"] for line in (await waiting).lines]

    assert asyncio.run(follow()) == ["meant"]


def test_a_wait_ends_without_a_line() -> None:
    memory = LogMemory()
    log(memory, "other")
    found = asyncio.run(memory.wait_after(0, Search(queue="email"), 10, 0.01))
    assert (found.lines, found.cursor) == ([], 1)
