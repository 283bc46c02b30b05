"""Where a command's answer goes: to a reader that leaves, to a full disk, to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import ROOT
from tests.support.fake_control import STATUS, FakeControl


def _fake(folder: Path, answers: dict[str, Any]) -> FakeControl:
    return FakeControl(folder / "c.sock", answers)


def test_a_reader_that_went_away_is_no_error(short_tmp: Path) -> None:
    lines = {"lines": [f"line {number}" for number in range(100_000)]}
    with _fake(short_tmp, {"job.logs": lines}):
        command = f"{sys.executable} -m jobd job logs email 7 --socket {short_tmp}/c.sock | head -1"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "line 0\n", "")


def test_an_answer_that_cannot_be_written_is_told(short_tmp: Path) -> None:
    with _fake(short_tmp, {"job.logs": {"lines": ["x"]}}), Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "jobd", "job", "logs", "email", "7", "--socket", str(short_tmp / "c.sock")],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device")


@pytest.mark.parametrize(("words", "code"), [(("status",), 0), (("health",), 4), (("version",), 0)])
def test_a_closed_stdout_is_no_fault(words: tuple[str, ...], code: int, short_tmp: Path) -> None:
    answers = {"status": STATUS, "health": {"state": "starting", "live": True, "ready": False, "why": "starting: a"}}
    with _fake(short_tmp, answers):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "jobd", *words, "--socket",
             str(short_tmp / "c.sock")],
            stderr=subprocess.PIPE, cwd=short_tmp, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, b"")
