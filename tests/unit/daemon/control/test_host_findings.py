from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.control import host_findings as module
from jobd.daemon.processes.hold import HeldBy


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


class Pool:
    """A pool as `doctor` looks at it."""

    def __init__(self, held_by: Any = None, reason: str = "", *, quiet: bool = False) -> None:
        self.name, self.is_quiet = "email", quiet
        self.hold = SimpleNamespace(by=held_by, is_on=held_by is not None, reason=reason)


@pytest.mark.parametrize(
    ("pool", "code", "what", "mend"),
    [
        (Pool(HeldBy.BREAKER, "3 crashes"), "breaker-open", "held back: 3 crashes",
         "jobd logs email --level warning; jobd queue reset email"),
        (Pool("setup", "no database\nTraceback"), "workers-do-not-start", "no database",
         "jobd logs email --level warning"),
        (Pool(quiet=True), "quiet", "quiet on this host", "jobd queue unquiet email"),
    ],
)  # fmt: skip
def test_queues_that_take_no_jobs_here(pool: Pool, code: str, what: str, mend: str) -> None:
    (finding,) = module._queues(SimpleNamespace(fleet=SimpleNamespace(pools={"email": pool})))  # type: ignore[arg-type]
    assert (finding["code"], finding["about"], finding["what"], finding["mend"]) == (code, "email", what, mend)


def test_files_that_differ_from_what_runs() -> None:
    warnings = ["jobd.toml:9:1 queue a has no keep_completed", "jobd.toml:3:1 something else"]
    config = SimpleNamespace(changed_on_disk=lambda: True, path="/srv/jobd.toml", warnings=warnings)
    daemon: Any = SimpleNamespace(config=config, code_changed=lambda: ["a.py", "b.py", "c.py", "d.py", "e.py"])
    found = {finding["code"]: finding for finding in module._files(daemon)}
    assert set(found) == {"file-not-loaded", "code-newer", "unbounded-history", "configuration"}
    assert found["code-newer"]["what"] == "code is newer than what runs: a.py, b.py, c.py and 2 more"
    assert found["code-newer"]["mend"] == "jobd reload --code"
    assert found["file-not-loaded"]["mend"] == "jobd plan; jobd reload"


def test_open_files_beyond_the_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_files_needed", lambda queues: 5_000)
    monkeypatch.setattr("resource.getrlimit", lambda which: (1024, 4096))
    found = _found(monkeypatch, _daemon(workers=1), {})
    assert found == {"open-files": "5000 open files are needed, the hard limit is 4096"}


def test_another_host_that_runs_something_else_is_named() -> None:
    config = SimpleNamespace(changed_on_disk=lambda: False, warnings=[])
    daemon: Any = SimpleNamespace(config=config, code_changed=list, fleet=SimpleNamespace(pools={}))
    found = {finding["code"]: finding for finding in module.host_findings(daemon, ["far runs version 0.0.9"])}
    assert found["other-host-differs"]["about"] == "far"
    assert "on far and here" in found["other-host-differs"]["mend"]


def test_a_jobd_that_pip_replaced_or_removed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert list(module._own_version()) == []
    file = tmp_path / "__init__.py"
    monkeypatch.setattr("jobd.__file__", str(file))
    (finding,) = module._own_version()
    assert (finding["code"], "not installed any more" in finding["what"]) == ("jobd-replaced", True)
    file.write_text('"""jobd."""\n__version__ = "99.0"\n')
    (finding,) = module._own_version()
    assert finding["what"].startswith("jobd 99.0 is installed, this daemon runs ")
