"""Rows of the overview: which come first, and what they say of a queue in trouble."""

from __future__ import annotations

from typing import Any

import pytest

from jobd.cli.top.drawing import note_of
from jobd.engine.reading import WrongKey
from jobd.operations.queues import row_of
from jobd.web.rows import Row, by_trouble


def row(name: str, **more: Any) -> Row:
    known: dict[str, Any] = {"state": "running", "why": None, "own": True, "oldest_s": None, **more}
    return Row(name=name, note="", waiting=0, counts={}, **known)


def test_trouble_comes_first_then_who_is_behind_then_by_name_as_a_person_counts() -> None:
    rows = [
        row("tenant-10"), row("tenant-2"), row("elsewhere", own=False), row("slow", oldest_s=61.0),
        row("held", state="breaker", why="breaker"),
    ]  # fmt: skip
    assert [row.name for row in by_trouble(rows)] == ["held", "slow", "tenant-2", "tenant-10", "elsewhere"]


@pytest.mark.parametrize(
    ("oldest_s", "paused", "behind"),
    [(None, False, False), (60.0, False, False), (61.0, False, True), (61.0, True, False)],
)
def test_a_queue_is_behind_when_its_next_job_waits_long_and_nobody_paused_it(
    oldest_s: float | None, paused: bool, behind: bool
) -> None:
    assert row("a", oldest_s=oldest_s, paused=paused).behind is behind


def test_a_queue_that_cannot_be_read_is_broken_on_page_and_screen_and_says_what_mends_it() -> None:
    row = row_of("email", WrongKey("bull:email:wait", "string", "list"))
    told = "bull:email:wait is a string where a list belongs; move it away: redis-cli RENAME bull:email:wait"
    shown = Row.of(row, own=False)
    assert (shown.bad, shown.state, shown.waiting, shown.counts["failed"]) == (True, "broken", None, None)
    assert shown.note.startswith(told)
    assert note_of(row).startswith(told)
