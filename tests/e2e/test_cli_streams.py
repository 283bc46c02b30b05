"""`jobd logs` and `jobd events` on a real daemon: what is remembered, what comes, and what a terminal may be sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from tests.support.daemon_process import ROOT, DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUES = """
[queues.email]
path = ["PATH"]
handler = "printing:prints"
attempts = 1
[queues.other]
path = ["PATH"]
handler = "printing:prints"
"""

HANDLER = """
def prints(job):
    print("evil \\x1b[2J", job.data, flush=True)
    if job.data.get("fail"):
        raise ValueError("no \\x1b]0;title\\x07 such")
"""


@pytest.fixture
def daemon(make: Callable[..., DaemonProcess], tmp_path: Path) -> DaemonProcess:
    (tmp_path / "printing.py").write_text(HANDLER)
    return make(QUEUES.replace("PATH", str(tmp_path)))


@contextmanager
def following(*words: str) -> Iterator[list[dict[str, Any]]]:
    """Run a command that follows, and give the list that its JSON lines are added to as they come."""
    lines: list[dict[str, Any]] = []
    command = [sys.executable, "-m", "jobd", *words, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    rest = b""

    class Lines(list[dict[str, Any]]):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            nonlocal rest
            assert process.stdout is not None
            *whole, rest = (rest + (process.stdout.read() or b"")).split(b"\n")
            self.extend(json.loads(line) for line in whole)
            return super().__iter__()

    lines = Lines()
    try:
        yield lines
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def add(daemon: DaemonProcess, **data: Any) -> str:
    job_id: str = daemon.call("job.add", queue="email", name="n", data=data)["job"]["id"]
    return job_id


def ended(daemon: DaemonProcess, job_id: str) -> None:
    wait_until(
        lambda: daemon.call("job.show", queue="email", id=job_id)["job"]["state"] in ("completed", "failed"),
        what="the job has ended",
    )


def test_logs_are_remembered_filtered_and_harmless_to_a_terminal(
    daemon: DaemonProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(daemon, add(daemon, n=1))
    wait_until(lambda: daemon.logged("output"), what="the line was printed")

    def logs(*words: str) -> tuple[int, str]:
        code = main(["--socket", str(daemon.socket), "logs", *words])
        return code, capsys.readouterr().out

    code, text = logs("email", "--grep", "evil")
    assert code == 0
    assert "\x1b" not in text
    assert text.count("\n") == 1
    assert "email.0" in text
    assert "evil \\x1b[2J {'n': 1}" in text
    (line,) = [json.loads(line) for line in logs("email", "--grep", "evil", "--json")[1].splitlines()]
    pid = daemon.worker_pids("email")[0]
    assert (line["level"], line["queue"], line["worker"], line["pid"]) == ("info", "email", 0, pid)
    assert line["line"] == "evil \x1b[2J {'n': 1}"
    assert logs("--worker", str(pid), "--grep", "evil")[1] == text
    assert logs("other", "--grep", "evil") == (0, "")
    assert logs("--level", "error") == (0, "")
    assert main(["--socket", str(daemon.socket), "logs", "nosuch"]) == 1
    assert "email" in capsys.readouterr().err


def test_logs_follow_what_comes(daemon: DaemonProcess) -> None:
    with following("--socket", str(daemon.socket), "logs", "-f") as lines:
        wait_until(lambda: [line for line in lines if line["event"] == "ready"], what="what was there comes first")
        add(daemon, n=2)
        wait_until(lambda: [line for line in lines if "'n': 2" in (line["line"] or "")], what="then what comes")


def test_events_of_a_job_with_a_daemon_and_without(
    daemon: DaemonProcess,
    redis_server: RedisServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBD_REDIS_URL", redis_server.url)
    monkeypatch.setenv("JOBD_REDIS__PREFIX", daemon.prefix)
    job_id = add(daemon, fail=True)
    ended(daemon, job_id)
    told = []
    for words in (["--socket", str(daemon.socket)], ["--socket", "/nowhere"]):
        assert main([*words, "events", "email", "--job", job_id, "--json"]) == 0
        told.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert told[0] == told[1]
    assert [event["event"] for event in told[0]][:3] == ["added", "waiting", "active"]
    assert {event["jobId"] for event in told[0]} == {job_id}
    failed = next(event for event in told[0] if event["event"] == "failed")
    assert (failed["queue"], failed["failedReason"]) == ("email", "no \x1b]0;title\x07 such")
    assert main(["--socket", str(daemon.socket), "events", "--name", "failed"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert f" email failed      {job_id} failedReason=no \\x1b]0;title\\x07 such" in shown


def test_events_follow_what_comes(daemon: DaemonProcess) -> None:
    with following("--socket", str(daemon.socket), "events", "-f", "--name", "completed") as events:
        job_id = add(daemon, n=3)
        wait_until(lambda: [event for event in events if event["jobId"] == job_id], what="its end is told")


@pytest.mark.parametrize("words", [("logs", "-f"), ("events", "-f"), ("events", "-f", "--json")])
def test_who_follows_ends_quietly_with_its_reader(daemon: DaemonProcess, words: tuple[str, ...]) -> None:
    ended(daemon, add(daemon, n=4))
    command = [sys.executable, "-m", "jobd", "--socket", str(daemon.socket), *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        try:
            # Nothing more comes that it could write and so notice.
            assert process.wait(20) == 0
        finally:
            process.kill()
        assert process.stderr.read() == b""
