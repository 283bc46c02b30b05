"""The pytest plugin, in a pytest of an application's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TESTS = """
def test_run(jobd_run):
    assert jobd_run("shop:send", {"userId": 7}).result == {"sent": 7}

def test_queues(jobd_queues):
    from jobd.client import Queue
    Queue("email").add("welcome", {"userId": 7})
    assert [done.result for done in jobd_queues.drain()] == [{"sent": 7}]
    assert len(jobd_queues["email"]) == 1

def test_each_test_begins_empty(jobd_queues):
    assert jobd_queues["email"] == []
"""


def test_the_fixtures_are_there_without_a_line_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "jobd.toml").write_text('[redis]\nurl = "redis://127.0.0.1:1"\n[queues]\nemail = "shop:send"\n')
    (tmp_path / "shop.py").write_text("def send(job):\n    return {'sent': job.data['userId']}\n")
    (tmp_path / "test_shop.py").write_text(_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_plugin_costs_a_test_run_next_to_nothing() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import jobd.testing.plugin; "
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["jobd", "jobd.lazy", "jobd.testing", "jobd.testing.plugin"]
