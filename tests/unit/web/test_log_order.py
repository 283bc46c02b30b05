"""The order of the page's log: the latest first, what was printed together from top to bottom."""

from __future__ import annotations

from typing import Any

from jobd.web.pages.logs import latest_first


def line(time: str, text: str | None, *, pid: int = 7) -> dict[str, Any]:
    return {"time": f"2026-01-01T00:00:0{time}Z", "queue": "q", "job": None, "line": text, "pid": pid, "event": "e"}


def test_a_traceback_is_read_from_top_to_bottom_below_what_came_later() -> None:
    trace = [line("1.101", "Traceback"), line("1.102", "  File"), line("1.102", "KeyError")]
    other, event, later = line("1.102", "beside", pid=8), line("1.103", None), line("2.0", "later")
    assert latest_first([*trace, other, event, later]) == [later, event, other, *trace]


def test_events_of_the_daemon_are_each_by_themselves() -> None:
    first, second = line("1.1", None), line("1.1", None, pid=8)
    assert latest_first([first, second]) == [second, first]
