"""What `job show` tells of a job in each state, and the command it ends with."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from jobd.cli.job_timeline import timeline
from jobd.operations.documents.jobs import Job

NOW = int(time.time() * 1000)
NO_CHILDREN: dict[str, Any] = {"pending": [], "pending_count": 0, "completed_count": 0, "failed": [], "failed_count": 0}


def lines(**known: Any) -> list[str]:
    job: dict[str, Any] = {
        "id": "7", "name": "welcome", "queue": "email", "state": "waiting", "data": {"userId": 7}, "opts": {},
        "attempts_made": 0, "attempts_started": 0, "crashes": 0, "priority": 0, "delay_ms": 0,
        "timestamp": NOW - 300_000,
        "processed_at": None, "finished_at": None, "result": None, "failed_reason": None, "stacktrace": [],
        "progress": 0, "worker": None, "parent_key": None, "broken": [], "cut": {}, "due_at": None, "lock_ms": None,
        "log_lines": 0, "deferred_failure": None, "children": NO_CHILDREN,
    }  # fmt: skip
    return list(timeline(cast("Job", {**job, **known})))


@pytest.mark.parametrize(("known", "command"), [
    ({"state": "failed"}, "jobd job retry email 7"),
    ({"state": "failed", "id": "a b"}, "jobd job retry email 'a b'"),
    ({"state": "delayed"}, "jobd job promote email 7"),
    ({"state": "active"}, "jobd job stack email 7"),
    ({"state": "completed"}, "jobd job logs email 7"),
    ({"state": "waiting"}, "jobd queue show email"),
    ({"state": "unknown"}, "jobd job remove email 7"),
    ({"state": "waiting-children"}, "jobd queue show email"),
    ({"state": "waiting-children", "children": {**NO_CHILDREN, "pending": ["bull:pages:9"], "pending_count": 1}},
     "jobd job show pages 9"),
])  # fmt: skip
def test_the_last_line_is_what_one_types_next(known: dict[str, Any], command: str) -> None:
    assert lines(**known)[-1] == f"next: {command}"


def test_a_failed_job_tells_each_attempt_who_ran_it_and_how_it_ended() -> None:
    told = lines(
        state="failed", attempts_made=2, attempts_started=3, crashes=1, opts={"attempts": 2}, worker="host1:email:4321",
        processed_at=NOW - 61_000, finished_at=NOW - 60_000, failed_reason="no such user",
        stacktrace=["Traceback\n  …\nTimeoutError: slow", "Traceback\n  File x\nValueError: no such user"],
    )  # fmt: skip
    text = "\n".join(told)
    assert told[0] == "job 7 of email: failed"
    for part in ("by worker 4321 on host1", "after 1s", "2 of 2 made, 3 starts, worker or lock lost once",
                 "attempt 1: TimeoutError: slow", "attempt 2:\n    Traceback", "reason: no such user",
                 'data: {"userId": 7}'):  # fmt: skip
        assert part in text, part


def test_a_crash_report_is_told_once_and_whole() -> None:
    reason = "worker died: signal 11 (SIGSEGV)\nlast line of output"
    text = "\n".join(lines(state="failed", attempts_made=1, failed_reason=reason, stacktrace=[reason]))
    assert text.count("last line of output") == 1
    assert "reason: worker died: signal 11 (SIGSEGV)" in text


def test_a_job_that_waits_for_its_retry_tells_when_that_is() -> None:
    told = lines(
        state="delayed",
        attempts_made=1,
        due_at=int(time.time() * 1000) + 90_000,
        failed_reason="boom",
        stacktrace=["boom"],
    )
    assert [line for line in told if "next retry" in line and "in 1m" in line]
    assert "  failed before: boom" in told


def test_parents_children_locks_and_marks_are_told() -> None:
    children = {**NO_CHILDREN, "pending": ["bull:pages:9"], "pending_count": 1, "completed_count": 2}
    text = "\n".join(lines(state="active", parent_key="bull:sites:3", children=children, lock_ms=None, log_lines=2,
                           deferred_failure="cancelled by alice"))  # fmt: skip
    for part in ("parent     jobd job show sites 3", "1 pending, 2 completed, 0 failed", "jobd job show pages 9",
                 "none: its worker is gone", "2 lines", "cancelled by alice"):  # fmt: skip
        assert part in text, part


def test_what_is_too_long_is_told_with_its_size() -> None:
    assert "  data: 9000000 bytes, too long to be shown here" in lines(data=None, cut={"data": 9_000_000})
    assert lines(data={"x": "y" * 9000})[-2].endswith("… (--json has all)")


@pytest.mark.parametrize("state", ["failed", "active", "delayed", "waiting-children", "completed"])
def test_nothing_of_a_job_moves_the_cursor_of_the_terminal_that_shows_it(state: str) -> None:
    evil = "a\x1b[2J\x9b1mb\x07\r\u202e"
    key = f"bull:{evil}:{evil}"
    children = {**NO_CHILDREN, "pending": [key], "pending_count": 1, "failed": [key], "failed_count": 1}
    told = lines(
        state=state, id=evil, name=evil, queue=evil, data={evil: evil}, opts={"attempts": 2, evil: evil},
        failed_reason=evil, stacktrace=[evil, f"Traceback\n{evil}"], result=evil, progress=evil, worker=evil,
        parent_key=key, deferred_failure=evil, children=children, processed_at=NOW, finished_at=NOW, attempts_made=2,
    )  # fmt: skip
    assert len(told) > 5
    assert [line for line in told if any(char in line for char in "\x1b\x9b\x07\r\u202e")] == []
