from __future__ import annotations

from typing import Any

import pytest

from jobd.daemon.control.status_document import (
    DaemonFacts,
    RedisAnswer,
    Why,
    health_document,
    queue_document,
    shown_state,
    status_document,
    why_idle,
)
from jobd.daemon.views import DaemonState, JobView, QueueState, QueueView, WorkerView
from jobd.engine.reading import COUNTED, QueueFacts

NOW_MS = 1_800_000_000_000


def view(**changes: Any) -> QueueView:
    fields: dict[str, Any] = {
        "name": "email", "state": QueueState.RUNNING, "why": None, "concurrency": 4, "slots": 8, "busy": 1,
        "workers": [], "note": None, "done_per_min": 0, "p95_ms": None, "memory_bytes": 0, "redis_up": True,
    }  # fmt: skip
    return QueueView(**{**fields, **changes})


def facts(*, counts: dict[str, int] | None = None, **changes: Any) -> QueueFacts:
    fields: dict[str, Any] = {
        "paused": False, "concurrency": None, "max": None, "duration_ms": None, "limited_ms": None,
        "oldest_waiting_at": None, "paused_by": None, "paused_at": None, "paused_why": None, "exists": True,
    }  # fmt: skip
    return QueueFacts(counts={state.value: 0 for state in COUNTED} | (counts or {}), **{**fields, **changes})


def answer(found: QueueFacts | None, *, up: bool = True) -> RedisAnswer:
    known = {"email": found} if found else {}
    return RedisAnswer("redis://h", "jobd.toml:3", False, up, 0.213 if up else None, "7.2.1", None, known)


def daemon(**changes: Any) -> DaemonFacts:
    fields: dict[str, Any] = {
        "state": DaemonState.READY, "degraded_by": [], "pid": 9, "host": "box", "version": "0.1.0", "uptime_s": 2.04,
        "generation": 1, "reloaded_s": None, "incarnation": "abc", "config_path": "/jobd.toml",
        "config_changed": False, "config_changed_s": None, "code_changed": False, "drift": [], "strangers": [],
        "last_reload": None, "now_ms": NOW_MS,
    }  # fmt: skip
    return DaemonFacts(**{**fields, **changes})


def test_the_document_has_the_fields_people_rely_on() -> None:
    worker = WorkerView(7, "email", "ready", 1, 1, 1.26, 5, 3, 0, [JobView("7", "welcome", 0.12345)])
    document = status_document(daemon(), answer(facts(counts={"waiting": 3})), [view(workers=[worker])])
    assert document["state"] == "ready"
    assert document["config"] == {"path": "/jobd.toml", "changed_on_disk": False}
    assert document["code"] == {"changed_on_disk": False}
    assert document["redis"]["latency_ms"] == 0.21
    queue = document["queues"][0]
    assert {"name", "state", "why", "slots", "busy", "waiting", "prioritized", "delayed", "active", "failed",
            "completed", "oldest_waiting_s", "longest_active_s", "workers"} <= set(queue)  # fmt: skip
    assert queue["waiting"] == 3
    assert queue["longest_active_s"] == 0.123
    assert queue["workers"][0]["jobs"] == [{"id": "7", "name": "welcome", "running_s": 0.123}]
    assert {"pid", "state", "generation", "busy", "uptime_s", "memory_bytes", "jobs_done", "restarts"} <= set(
        queue["workers"][0]
    )


def test_counts_are_null_and_never_zero_when_redis_could_not_be_asked() -> None:
    document = queue_document(view(), answer(None, up=False), NOW_MS)
    assert [document[name] for name in ("waiting", "delayed", "active", "failed", "completed")] == [None] * 5
    assert document["oldest_waiting_s"] is None
    assert document["why"] == "redis_down"


@pytest.mark.parametrize(
    ("seen", "found", "up", "why"),
    [
        (view(), facts(), True, None),
        (view(), facts(counts={"waiting": 5}), True, None),
        (view(), facts(counts={"delayed": 1}), True, Why.NOTHING_DUE),
        (view(), facts(counts={"delayed": 1, "active": 1}), True, None),
        (view(), facts(paused=True), True, Why.PAUSED),
        (view(), facts(limited_ms=40), True, Why.RATE_LIMITED),
        (view(), facts(concurrency=2, counts={"active": 2}), True, Why.MAXED),
        (view(), facts(concurrency=2, counts={"active": 1}), True, None),
        (view(why="no_workers"), facts(limited_ms=40), True, Why.NO_WORKERS),
        (view(state=QueueState.QUIET, why="quiet"), facts(), True, Why.QUIET),
        (view(state=QueueState.QUIET, why="quiet"), facts(paused=True), True, Why.PAUSED),
        (view(state=QueueState.BREAKER, why="breaker"), facts(paused=True), True, Why.BREAKER),
        (view(state=QueueState.BREAKER, why="breaker"), None, False, Why.BREAKER),
        (view(redis_up=False), facts(), True, Why.REDIS_DOWN),
        (view(), None, False, Why.REDIS_DOWN),
        (view(), None, True, None),
    ],
)
def test_why_tells_the_first_reason(seen: QueueView, found: QueueFacts | None, up: bool, why: Why | None) -> None:
    assert why_idle(seen, found, redis_up=up) is why


@pytest.mark.parametrize(
    ("limited_ms", "note"), [(None, None), (900, None), (3_599_990, "rate limit used up for 59m59s more")]
)
def test_a_limit_that_lasts_is_told_with_its_end(limited_ms: int | None, note: str | None) -> None:
    assert queue_document(view(), answer(facts(limited_ms=limited_ms)), NOW_MS)["note"] == note


@pytest.mark.parametrize(
    ("state", "paused", "shown"),
    [
        (QueueState.RUNNING, False, "running"),
        (QueueState.RUNNING, True, "paused"),
        (QueueState.QUIET, True, "paused"),
        (QueueState.QUIET, False, "quiet"),
        (QueueState.BREAKER, True, "breaker"),
        (QueueState.DRAINING, True, "draining"),
    ],
)
def test_a_pause_hides_running_and_quiet_only(state: QueueState, paused: bool, shown: str) -> None:
    assert shown_state(view(state=state), facts(paused=paused)) == shown
    assert shown_state(view(state=state), None) == state.value


def test_the_note_says_who_paused_when_and_why() -> None:
    found = facts(paused=True, paused_by="alice", paused_at=NOW_MS - 300_000, paused_why="cdn down")
    document = queue_document(view(), answer(found), NOW_MS)
    assert document["note"] == 'by alice 5m ago: "cdn down"'
    assert (document["paused_by"], document["paused_why"]) == ("alice", "cdn down")
    assert document["paused_at"] == NOW_MS - 300_000


def test_a_producer_whose_clock_is_ahead_gives_no_negative_age() -> None:
    found = facts(counts={"waiting": 1}, oldest_waiting_at=NOW_MS + 5000)
    assert queue_document(view(), answer(found), NOW_MS)["oldest_waiting_s"] == 0.0


def test_age_of_the_oldest_waiting_job_is_in_seconds() -> None:
    found = facts(counts={"waiting": 1}, oldest_waiting_at=NOW_MS - 1500)
    assert queue_document(view(), answer(found), NOW_MS)["oldest_waiting_s"] == 1.5


def test_a_changed_file_says_since_when() -> None:
    document = status_document(daemon(config_changed=True, config_changed_s=20.04), answer(None), [])
    assert document["config"] == {"path": "/jobd.toml", "changed_on_disk": True, "changed_s": 20.0}


def test_health_says_what_is_missing() -> None:
    assert health_document(DaemonState.READY, (True, None), (True, None)) == {
        "state": "ready", "live": True, "ready": True, "why": None,
    }  # fmt: skip
    assert health_document(DaemonState.STARTING, (True, None), (False, "starting: email"))["why"] == "starting: email"
