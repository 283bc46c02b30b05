"""Connections that a view keeps: one for many questions, a new one for a new daemon."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from jobd.cli.persistent_connections import PersistentConnections
from jobd.cli.settings import Settings
from jobd.errors import DaemonAway, NoRedisConfigured, Refused
from jobd.operations import table
from tests.support.fake_control import FakeControl, Refusal


def refuse(params: dict[str, Any]) -> dict[str, Any]:
    raise Refusal("queue-unknown", "no such queue", 1)


def test_many_questions_go_over_one_connection_a_refused_one_too(short_tmp: Path) -> None:
    path = short_tmp / "c.sock"
    standing = PersistentConnections(Settings(socket=str(path)))
    with FakeControl(path, {"status": {"pid": 1}, "queue.show": refuse}) as daemon:
        for _ in range(3):
            assert standing.ask(table.STATUS)["pid"] == 1
            with pytest.raises(Refused, match="no such queue"):
                standing.ask(table.QUEUE_SHOW, {"queue": "email"})
        assert len(daemon.connections) == 1
        standing.close()


def test_a_daemon_that_was_started_anew_is_asked_at_once(short_tmp: Path) -> None:
    path = short_tmp / "c.sock"
    standing = PersistentConnections(Settings(socket=str(path)))
    for pid in (1, 2):
        with FakeControl(path, {"status": {"pid": pid}}):
            assert standing.ask(table.STATUS)["pid"] == pid
        path.unlink()
    with pytest.raises(DaemonAway):
        standing.ask(table.STATUS)
    standing.close()


def test_an_answer_that_came_too_late_is_not_taken_for_the_next(short_tmp: Path) -> None:
    path = short_tmp / "c.sock"
    answers = iter([None, 2])

    def status(params: dict[str, Any]) -> dict[str, Any]:
        pid = next(answers)
        if pid is None:
            late.wait(20)
        return {"pid": pid}

    late = threading.Event()
    standing = PersistentConnections(Settings(socket=str(path)))
    with FakeControl(path, {"status": status}):
        with pytest.raises(TimeoutError):
            standing.ask(table.STATUS, timeout=0.05)
        late.set()
        assert standing.ask(table.STATUS)["pid"] == 2
        standing.close()


def test_without_a_daemon_redis_is_asked_which_must_be_known(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_tmp)
    monkeypatch.delenv("JOBD_REDIS_URL", raising=False)
    standing = PersistentConnections(Settings(socket=str(short_tmp / "none.sock")))
    with pytest.raises(NoRedisConfigured):
        standing.ask(table.QUEUE_LIST)
