"""When schedules are due, without Redis."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from jobd.engine.cron import Cron
from jobd.engine.iterations import next_iteration
from jobd.engine.job import Taken
from jobd.engine.keys import Keys
from jobd.engine.schedulers import Repeat, Scheduler, Template, slot_of, upcoming
from jobd.errors import InputError

NOW = 1_795_486_443_666
HOUR = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("pattern", "zone", "after", "due"),
    [
        ("30 2 * * *", "America/New_York", "2026-03-08T05:00", "2026-03-08T07:30"),  # 03:30, since 02:30 is left out
        ("30 1 * * *", "America/New_York", "2026-11-01T04:00", "2026-11-01T05:30"),  # the first of two
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30", "2026-11-02T06:30"),
        ("30 * * * *", "America/New_York", "2026-11-01T05:30", "2026-11-01T06:30"),  # every hour: in both
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T21:30", "2026-04-24T21:00"),  # the day that begins at 01:00 has none
        ("15 3 * * *", "UTC", "2026-01-01T03:15", "2026-01-02T03:15"),
        ("*/10 * * * * *", "UTC", "2026-01-01T00:00:01", "2026-01-01T00:00:10"),
        ("0 0 29 2 *", "UTC", "2026-01-01", "2028-02-29"),
        ("0 12 ? * 5L", "UTC", "2026-01-01", "2026-01-30T12:00"),
    ],
)
def test_a_pattern_is_due(pattern: str, zone: str, after: str, due: str) -> None:
    assert Cron(pattern, zone).after(ms(after)) == ms(due)


def test_a_pattern_without_a_date_is_never_due() -> None:
    assert Cron("0 0 30 2 *").after(0) is None


@pytest.mark.parametrize("moment", [10**18, -(10**18), 253_402_300_799_000, 10**400])
def test_a_moment_beyond_the_calendar_is_said(moment: int) -> None:
    with pytest.raises(InputError, match="calendar"):
        Cron("0 0 * * *", "Europe/Athens").after(moment)


@pytest.mark.parametrize("pattern", ["", "1 2 3 4 5 6 7", "0 0 15W * *", "0 0 * * FRI-MON", "x * * * *"])
def test_a_pattern_that_node_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(InputError):
        Cron(pattern)


def scheduler(repeat: Repeat, next_at: int, *, iterations: int = 1) -> Scheduler:
    return Scheduler("s", repeat, Template("n"), iterations, next_at)


@pytest.mark.parametrize(
    ("repeat", "next_at", "iterations", "times"),
    [
        (Repeat(every_ms=HOUR), NOW + 5, 1, [NOW + 5, NOW + 5 + HOUR, NOW + 5 + 2 * HOUR]),
        (Repeat(every_ms=HOUR, limit=2), NOW + 5, 1, [NOW + 5, NOW + 5 + HOUR]),
        (Repeat(every_ms=HOUR, limit=2), NOW + 5, 2, [NOW + 5]),
        (Repeat(every_ms=HOUR, limit=2), NOW - 5, 2, []),
        (Repeat(every_ms=HOUR), NOW - 5 - 3 * HOUR, 1, [NOW - 5 - 3 * HOUR, NOW - 5 + HOUR, NOW - 5 + 2 * HOUR]),
        (Repeat(every_ms=HOUR, end_at=NOW - 1), NOW - 5, 1, []),
    ],
)
def test_upcoming_runs(repeat: Repeat, next_at: int, iterations: int, times: list[int]) -> None:
    assert upcoming(scheduler(repeat, next_at, iterations=iterations), 3, now_ms=NOW) == times


def made(opts: dict[str, Any], job_id: str = f"repeat:s:{NOW}") -> tuple[Any, ...]:
    """What next_iteration asks for: options of the next, slot, missed runs."""
    text = json.dumps(opts).encode()
    job = Taken(job_id, "t", "n", b"{}", text, NOW, 0, 0, 0, 1, 0, None, None, "s", None, None, False)
    words = next_iteration(Keys("bull", "q"), job, now_ms=NOW, chance=0.5).words
    asked: Any = words[8]
    return (json.loads(asked) if asked else None, words[9], words[10])


@pytest.mark.parametrize("value", ["1e999", "-Infinity", "NaN"])
def test_options_that_no_json_can_hold_are_said(value: str) -> None:
    opts = f'{{"attempts":{value},"repeat":{{"every":1000}}}}'.encode()
    job = Taken("repeat:s:1", "t", "n", b"{}", opts, NOW, 0, 0, 0, 1, 0, None, None, "s", None, None, False)
    with pytest.raises(InputError, match="options"):
        next_iteration(Keys("bull", "q"), job, now_ms=NOW, chance=0.5)


def test_half_a_surrogate_pair_in_options_is_written_as_it_was() -> None:
    opts = b'{"jobId":"\\ud800","repeat":{"every":1000}}'
    job = Taken("repeat:s:1", "t", "n", b"{}", opts, NOW, 0, 0, 0, 1, 0, None, None, "s", None, None, False)
    words = next_iteration(Keys("bull", "q"), job, now_ms=NOW, chance=0.5).words
    assert any(b'"jobId":"\\ud800"' in word for word in words if isinstance(word, bytes))


def test_the_next_iteration_counts_on_and_reads_its_backoff_as_bullmq() -> None:
    opts, slot, missed = made({"repeat": {"every": 1000, "count": 1}, "backoff": 500, "priority": 3, "tm": "T"})
    assert opts == {
        "attempts": 0, "repeat": {"every": 1000, "count": 2}, "backoff": {"type": "fixed", "delay": 500}, "priority": 3,
        "tm": "T",
    }  # fmt: skip
    assert (slot, missed) == ("", 0)


@pytest.mark.parametrize(
    "opts",
    [
        {}, {"repeat": 3}, {"repeat": {"every": 1000, "count": 2, "limit": 2}},
        {"repeat": {"every": 1000, "count": 1, "endDate": NOW - 1}},
        {"repeat": {"every": 1000, "count": 1, "endDate": "2020-01-01T00:00:00.000Z"}},
        {"repeat": {"pattern": "0 0 30 2 *", "count": 1}},
    ],
)  # fmt: skip
def test_after_the_last_one_none_is_made(opts: dict[str, Any]) -> None:
    assert made(opts)[0] is None


def test_missed_runs_of_a_pattern_are_counted() -> None:
    opts = {"repeat": {"pattern": "0 * * * *", "tz": "UTC", "count": 1}, "prevMillis": NOW // HOUR * HOUR - 2 * HOUR}
    _, slot, missed = made(opts)
    assert (slot, missed) == ((NOW // HOUR + 1) * HOUR, 2)


@pytest.mark.parametrize(("job_id", "slot"), [("repeat:a:b:1795486443666", NOW), ("7x", None), ("", None)])
def test_slot_of_an_id(job_id: str, slot: int | None) -> None:
    assert slot_of(job_id) == slot
