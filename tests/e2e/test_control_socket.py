"""The control socket of the real daemon, over a raw socket: every method, garbage, Redis away, clients that go."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.client import Queue
from jobd.operations.table import OPERATIONS
from tests.support.daemon_process import ROOT, DaemonProcess, Failed, alive
from tests.support.notify_socket import NotifySocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

OK = '[queues.a]\nhandler = "daemon_handlers:ok"\n'
TICK = '[schedules.tick]\nqueue = "a"\nevery = "1h"\n'


@pytest.fixture(scope="module")
def daemon(redis_server: RedisServer) -> Iterator[DaemonProcess]:
    """One daemon for all tests that leave it as it was."""
    with (
        tempfile.TemporaryDirectory(prefix="jobd-") as folder,
        DaemonProcess(Path(folder) / "d", redis_server.url, OK + TICK, prefix=f"ctl{os.getpid()}") as made,
    ):
        made.start_ready()
        made.call("job.add", queue="a", name="seed", data={})
        yield made
        assert made.status()["state"] == "ready", "nothing that was sent harmed it"


def ask(daemon: DaemonProcess, *lines: bytes) -> list[dict[str, Any]]:
    """Send lines on one connection, close that side, return every answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(daemon.socket))
        sock.sendall(b"".join(line + b"\n" for line in lines))
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as answers:
            return [json.loads(line) for line in answers]


PID = "the pid of the worker"
"""Stands for it in GOOD: it is known when the daemon runs."""

ASIDE: dict[str, dict[str, Any]] = {"stop": {}, "job.stack": {"queue": "a", "id": "later"}}
"""What ends the daemon, or needs a job that runs."""

GOOD: dict[str, dict[str, Any]] = {
    "hello": {},
    "status": {"queues": ["a"]},
    "health": {"kind": "live"},
    "plan": {},
    "quiet": {},
    "unquiet": {},
    "logs": {},
    "subscribe": {"to": "logs", "limit": 1},
    "events": {},
    "history": {"queues": ["a"]},
    "queue.list": {},
    "queue.show": {"queue": "a"},
    "queue.pause": {"queue": "a", "reason": "test"},
    "queue.resume": {"queue": "a"},
    "queue.quiet": {"queue": "a"},
    "queue.unquiet": {"queue": "a"},
    "queue.scale": {"queue": "a", "to": None},
    "job.add": {"queue": "a", "name": "x", "data": {"n": 1}, "options": {"delay": "1h", "job_id": "later"}},
    "job.list": {"queue": "a", "state": "delayed", "name": "x*", "limit": 5},
    "job.show": {"queue": "a", "id": "later"},
    "job.flow": {"queue": "a", "id": "later"},
    "job.logs": {"queue": "a", "id": "later"},
    "job.wait": {"queue": "a", "id": "later", "timeout_ms": 0, "event_id": "0-0"},
    "queue.empty": {"queue": "a", "delayed": False, "dry_run": True},
    "queue.clean": {"queue": "a", "state": "completed", "older_ms": 1000, "limit": 5},
    "queue.remove-orphans": {"queue": "a", "dry_run": True},
    "queue.obliterate": {"queue": "a", "force": True, "dry_run": True},
    "job.retry": {"queue": "a", "all": True, "dry_run": True},
    "job.promote": {"queue": "a", "all": True, "dry_run": True},
    "job.change": {"queue": "a", "id": "later", "delay_ms": 3_600_000, "priority": 2, "data": {"n": 2}},
    "job.cancel": {"queue": "a", "all": True, "dry_run": True},
    "job.remove": {"queue": "a", "ids": ["later"]},
    "schedule.list": {"queue": "a"},
    "schedule.run": {"name": "tick"},
    "schedule.pause": {"name": "tick"},
    "schedule.resume": {"name": "tick"},
    "schedule.next": {"name": "tick", "queue": "a", "count": 3},
    "worker.list": {},
    "worker.show": {"pid": PID},
    "worker.stack": {"pid": PID},
    "worker.restart": {"pid": PID},
    "worker.kill": {"pid": PID},
    "queue.reset": {"queue": "a"},
    "host.list": {},
    "metrics": {},
    "doctor": {},
    "config.show": {"origin": True},
    "reload": {"code": False},
}
FIELD = {
    "hello": "protocol", "status": "queues", "health": "ready", "plan": "steps", "quiet": "queues",
    "unquiet": "queues", "queue.list": "queues", "job.add": "job", "job.list": "jobs", "job.show": "job",
    "job.logs": "lines", "job.wait": "ended", "queue.empty": "removed", "queue.clean": "removed",
    "queue.remove-orphans": "removed",
    "queue.obliterate": "removed", "job.retry": "done", "job.cancel": "running", "job.remove": "done",
    "job.change": "changed",
    "job.promote": "done", "worker.list": "workers", "worker.show": "worker", "worker.stack": "stack",
    "host.list": "hosts", "logs": "lines", "events": "events", "history": "queues", "metrics": "text",
    "doctor": "findings", "schedule.list": "schedules", "schedule.run": "id", "schedule.pause": "schedule",
    "schedule.resume": "schedule", "schedule.next": "next",
    "job.flow": "nodes", "subscribe": "ended",
    "config.show": "entries",
    "reload": "generation", "queue.scale": "workers",
}  # fmt: skip


def good_params(daemon: DaemonProcess, method: str) -> dict[str, Any]:
    """Return what a method takes, with the pid of a worker that is ready now."""
    params = GOOD.get(method, ASIDE.get(method, {}))
    if PID not in params.values():
        return params
    (pid,) = wait_until(lambda: daemon.worker_pids("a", "ready", "quiet"), what="a worker is ready")
    return {**params, "pid": pid}


def test_every_method_answers_with_its_document(daemon: DaemonProcess) -> None:
    assert set(GOOD) | set(ASIDE) == OPERATIONS.keys()
    for method in GOOD:
        result = daemon.call(method, **good_params(daemon, method))
        assert result["schema"] == 1, method
        assert FIELD.get(method, "queue") in result, method


@pytest.mark.parametrize("method", sorted(GOOD | ASIDE))
def test_no_parameter_of_a_wrong_kind_is_taken(daemon: DaemonProcess, method: str) -> None:
    good = good_params(daemon, method)
    names = [*good, "grace_ms", "now", "queue", "ids", "zzz", ""]
    junk: list[Any] = [[], {}, 1.5, -1, True, "\ud800", "x" * 100, {"a": [1]}, [None], 10**400]
    lines, expected = [], []
    for number, (name, value) in enumerate(itertools.product(names, junk)):
        if method == "stop" and name in ("now", "grace_ms") and (value is True or name == "now"):
            continue  # that would be a good request, and the last one
        if name in (
            "data",
            "options",
            "reason",
            "code",
            "origin",
            "all",
            "dry_run",
            "to",
            "queues",
            "kind",
            "config",
            "force",
            "delayed",
        ):
            continue  # several of the values are good ones there
        lines.append(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": good | {name: value}}))
        expected.append((name, value))
    answers = ask(daemon, *(line.encode() for line in lines))
    assert len(answers) == len(lines)
    for (name, value), answer in zip(expected, answers, strict=True):
        if "error" in answer:
            assert answer["error"]["code"] in (-32602, -32000), (name, value, answer)
            assert answer["error"]["data"]["exit"] in (1, 2), (name, value, answer)
        else:
            assert name in good or isinstance(value, str | list), (name, value, answer)


def test_an_unknown_method_an_unknown_queue_and_a_bad_parameter_have_their_codes(daemon: DaemonProcess) -> None:
    for method, params, code, data_code, exit_with in (
        ("queue.drain", {}, -32601, "method-unknown", 2),
        ("__class__", {}, -32601, "method-unknown", 2),
        ("queue.show", {"queue": "nope"}, -32000, "queue-unknown", 1),
        ("queue.quiet", {"queue": "nope"}, -32000, "queue-unknown", 1),
        ("status", {"queues": ["nope"]}, -32000, "queue-unknown", 1),
        ("job.show", {"queue": "a", "id": "nope"}, -32000, "job-unknown", 1),
        ("queue.show", {"queue": "a:b"}, -32000, "input-invalid", 2),
        ("queue.show", {}, -32602, "params-invalid", 2),
        ("queue.show", {"quue": "a"}, -32602, "params-invalid", 2),
        ("plan", {"config": "/no/such/file.toml"}, -32000, None, 78),
    ):
        with pytest.raises(Failed) as caught:
            daemon.call(method, **params)
        error = caught.value.error
        assert (error["code"], error["data"]["exit"]) == (code, exit_with), (method, error)
        assert data_code is None or error["data"]["code"] == data_code


def test_mutated_requests_never_harm_the_daemon(daemon: DaemonProcess) -> None:
    rng = random.Random(11)
    before = daemon.pid
    for method in GOOD:
        params = good_params(daemon, method)
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        mutants = []
        for _ in range(20):
            body = bytearray(line)
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(body))
                body[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
            mutants.append(bytes(body).replace(b"stop", b"s.op"))
        for answer in ask(daemon, *mutants):
            assert answer["jsonrpc"] == "2.0"
            assert answer.get("error", {}).get("code") != -32603, answer
    assert alive(before)
    daemon.call("queue.resume", queue="a")
    daemon.call("unquiet")


def test_changes_are_logged_with_the_peer_and_without_job_data(daemon: DaemonProcess) -> None:
    daemon.call("job.add", queue="a", name="x", data={"card": "4111-secret"}, options={"job_id": "logged"})
    line = daemon.logged("change asked for")[-1]
    assert (line["method"], line["uid"], line["peer_pid"]) == ("job.add", os.getuid(), os.getpid())
    assert "4111-secret" not in daemon.log.read_text()


def test_a_daemon_with_two_hundred_idle_connections_still_answers(daemon: DaemonProcess) -> None:
    idle = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    try:
        for number, sock in enumerate(idle):
            sock.connect(str(daemon.socket))
            sock.sendall(b'{"half": ' if number % 2 else b"")
        assert daemon.call("hello")["pid"] == daemon.pid
    finally:
        for sock in idle:
            sock.close()


def test_a_reload_whose_client_went_away_is_done_and_told_in_status(
    short_tmp: Path, redis_server: RedisServer, prefix: str
) -> None:
    with DaemonProcess(short_tmp / "d", redis_server.url, OK, prefix=prefix) as daemon:
        daemon.start_ready()
        daemon.write(OK + '[queues.b]\nhandler = "daemon_handlers:ok"\n')
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(daemon.socket))
            sock.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "reload"}\n')
        wait_until(lambda: daemon.status()["last_reload"], what="the reload is through")
        status = daemon.status()
        assert status["generation"] == 2
        assert status["last_reload"]["applied"] is True
        daemon.write("[queues.a\n")
        with pytest.raises(Failed) as caught:
            daemon.call("reload")
        assert caught.value.exit == 78
        status = daemon.status()
        assert (status["last_reload"]["applied"], status["generation"]) == (False, 2)
        assert status["config"]["changed_on_disk"] is True


def test_a_reload_by_signal_is_told_in_status_too(short_tmp: Path, redis_server: RedisServer, prefix: str) -> None:
    with DaemonProcess(short_tmp / "d", redis_server.url, OK, prefix=prefix) as daemon:
        daemon.start_ready()
        daemon.write(OK + "concurrency = 3\n")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.status()["generation"] == 2, what="the reload is through")
        assert daemon.status()["last_reload"]["by"] == "signal"


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_with_redis_away_status_comes_at_once_and_counts_are_null(
    short_tmp: Path, own_redis: RedisServer, prefix: str, how: int
) -> None:
    with DaemonProcess(short_tmp / "d", own_redis.url, OK, prefix=prefix) as daemon:
        daemon.start_ready()
        assert daemon.queue("a")["waiting"] == 0
        own_redis.signal(how)
        before = time.monotonic()
        status = daemon.status()
        took = time.monotonic() - before
        assert took < 5, f"took {took:.2f}s"
        assert (status["redis"]["up"], status["redis"]["latency_ms"]) == (False, None)
        assert status["queues"][0]["waiting"] is None
        assert status["queues"][0]["why"] == "redis_down"
        assert daemon.call("health", kind="live")["live"] is True
        daemon.call("queue.quiet", queue="a")
        daemon.call("queue.scale", queue="a", to="+1")
        if how == signal.SIGKILL:  # a silent Redis takes the answer limit of 5 s, which is another test's
            with pytest.raises(Failed) as caught:
                daemon.call("job.add", queue="a", name="x", data={})
            assert (caught.value.error["data"]["code"], caught.value.exit) == ("redis-unavailable", 69)
        assert daemon.call("plan")["changes"] is False
        daemon.call("stop", now=True)
        assert daemon.wait() == 0


def test_a_second_daemon_on_one_state_folder_ends_with_1_and_the_pid(daemon: DaemonProcess, short_tmp: Path) -> None:
    command = [sys.executable, "-m", "jobd", "run", "--config", str(daemon.config), "--socket", str(short_tmp / "c")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"pid {daemon.pid}" in second.stderr


def test_an_embedded_server_that_is_killed_comes_back_with_its_jobs(short_tmp: Path) -> None:
    with DaemonProcess(short_tmp / "d", "embedded", OK) as daemon:
        daemon.start_ready()
        status = daemon.status()
        assert status["redis"]["embedded"] is True
        # With everysec a killed server may lose the last second or two, which is documented.
        with redis.Redis(unix_socket_path=str(daemon.folder / "redis.sock")) as client:
            client.config_set("appendfsync", "always")
        queue = Queue("a", config=daemon.config)
        assert queue.add("x", {}).wait(timeout=10) == {"id": "1"}
        daemon.call("queue.pause", queue="a")
        waiting = queue.add("y", {})
        url = json.loads((daemon.folder / "redis.url").read_text())
        server = next(line["pid"] for line in daemon.logged("embedded Redis ready"))
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: len(daemon.logged("embedded Redis ready")) == 2, what="it is started again")
        wait_until(lambda: daemon.status()["redis"]["up"], what="the daemon is connected again")
        daemon.call("queue.resume", queue="a")
        assert waiting.wait(timeout=10) == {"id": "2"}
        assert json.loads((daemon.folder / "redis.url").read_text()) == url
        queue.close()
        assert daemon.stop() == 0
        assert not (daemon.folder / "redis.url").exists()


def test_systemd_is_told_of_start_reload_and_stop(short_tmp: Path, redis_server: RedisServer, prefix: str) -> None:
    with (
        NotifySocket(short_tmp / "n") as manager,
        DaemonProcess(short_tmp / "d", redis_server.url, OK, prefix=prefix, env=manager.env) as daemon,
    ):
        daemon.start()
        manager.wait_for("READY")
        manager.wait_for("WATCHDOG")
        worker = daemon.worker_pids("a")[0]
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{worker}/environ").read_bytes()
        before = len(manager.read())
        daemon.reload(OK + "concurrency = 2\n")
        told = [next(iter(message)) for message in manager.read()[before:]]
        assert [word for word in told if word in ("RELOADING", "READY")] == ["RELOADING", "READY"]
        daemon.call("stop")
        assert daemon.wait() == 0
        assert any("STOPPING" in message for message in manager.read())


def test_few_files_and_many_idle_connections_cost_no_lock_and_no_flood_of_lines(
    short_tmp: Path, redis_server: RedisServer, r: redis.Redis, prefix: str
) -> None:
    slow = '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "2s"\n'
    with (
        DaemonProcess(short_tmp / "d", redis_server.url, slow, prefix=prefix) as daemon,
        contextlib.ExitStack() as stack,
    ):
        daemon.start_ready()
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (60, 60))
        job = daemon.call("job.add", queue="a", name="n", data={"s": 5})["job"]["id"]
        for _ in range(100):
            idle = stack.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(str(daemon.socket))
        done = wait_until(lambda: r.hgetall(f"{prefix}:a:{job}").get("finishedOn"), 20, what="the job is done")
        record = r.hgetall(f"{prefix}:a:{job}")
        assert done
        assert (record["atm"], record["ats"]) == ("1", "1"), "it ran once: its lock was kept"
        assert "stc" not in record
        # The connections have asked nothing for long: one makes room.
        wait_until(lambda: _answers(daemon), 20, what="a new connection is served")
        lines = daemon.log.read_text().splitlines()
        assert len([line for line in lines if "control connection" in line]) <= 2
        assert len(lines) < 200


def _answers(daemon: DaemonProcess) -> bool:
    try:
        return bool(daemon.call("hello", timeout=5)["pid"] == daemon.pid)
    except (OSError, Failed):
        return False
