from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.control import host_findings as module


def _daemon(*, workers: int, concurrency: int = 1, memory_max: int | None = None) -> Any:
    queue = SimpleNamespace(memory_max_bytes=memory_max, concurrency=concurrency)
    return SimpleNamespace(fleet=SimpleNamespace(pools={"a": SimpleNamespace(queue=queue, wanted=workers)}))


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_files_needed", lambda queues: 1)


def _found(monkeypatch: pytest.MonkeyPatch, daemon: Any, limits: dict[str, int]) -> dict[str, str]:
    monkeypatch.setattr(module, "group_limit", limits.get)
    return {finding["code"]: finding["what"] for finding in module._machine(daemon)}


def test_memory_is_compared_with_what_the_service_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = _daemon(workers=4, memory_max=2**28)
    assert _found(monkeypatch, daemon, {}) == {}
    assert _found(monkeypatch, daemon, {"memory.max": 2**30}) == {}
    found = _found(monkeypatch, daemon, {"memory.max": 2**29})
    assert "the service or container is limited to" in found["memory-max"]
    assert "the machine has" in _found(monkeypatch, _daemon(workers=1, memory_max=2**50), {})["memory-max"]


def test_threads_are_compared_with_what_the_service_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = _daemon(workers=10, concurrency=50)
    assert _found(monkeypatch, daemon, {"pids.max": 4915}) == {}
    assert "tasks-max" in _found(monkeypatch, daemon, {"pids.max": 200})


def test_hardening_is_looked_for_under_systemd_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_may_map_executable", lambda: False)
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    assert list(module._hardening()) == []
    monkeypatch.setenv("INVOCATION_ID", "x")
    (finding,) = module._hardening()
    assert "JIT compilers fail" in finding["what"]
    monkeypatch.setattr(module, "_may_map_executable", lambda: True)
    assert list(module._hardening()) == []
