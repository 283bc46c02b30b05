"""What a template does when many of its workers end at once."""

from __future__ import annotations

import os
from typing import Any

import pytest

from jobd.protocol import worker as messages
from jobd.worker import template as module
from jobd.worker.template import Template


@pytest.mark.parametrize("number", [1, 50, 500])
def test_each_child_is_reaped_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A look at every child at every signal would cost the square of their number."""
    ended, asked = list(range(100, 100 + number)), []

    def waitpid(pid: int, flags: int) -> tuple[int, int]:
        assert (pid, flags) == (-1, os.WNOHANG)
        asked.append(pid)
        return (ended.pop(0), 9) if ended else (0, 0)

    monkeypatch.setattr(module.os, "waitpid", waitpid)
    told: list[Any] = []
    template: Any = Template.__new__(Template)
    template._children = {pid: f"1.{pid}" for pid in range(100, 100 + number)}
    template._send = told.append
    for _ in range(3):  # signals of children that end at the same moment become one, or come too late
        template._reap()
    assert len(asked) == number + 3
    assert template._children == {}
    assert told == [messages.Exited(f"1.{pid}", pid, 9) for pid in range(100, 100 + number)]
