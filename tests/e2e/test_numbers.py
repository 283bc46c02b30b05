"""The numbers of a real daemon, as a scrape sees them: every outcome once, nothing lost, no 0 for what is unknown."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from tests.support.daemon_process import DaemonProcess, Failed
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUES = """
http = "unix:{folder}/n.sock"
[queues.email]
handler = "counting_handlers:ends"
workers = 2
attempts = 1
max_crashes = 0
timeout = "300ms"
kill_after = "100ms"
breaker = false
keep_completed = 100
[queues.email.jobs.welcome]
handler = "counting_handlers:ends"
attempts = 2
backoff = "1ms"
[queues.email.jobs.held]
handler = "counting_handlers:ends"
timeout = "1m"
[queues.stale]
handler = "counting_handlers:ends"
expire = "1ms"
keep_completed = 100
"""

Samples = dict[str, float]


@pytest.fixture
def daemon(make: Callable[..., DaemonProcess], short_tmp: Path) -> DaemonProcess:
    return make(QUEUES.format(folder=short_tmp))


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def get(path: Path, page: str, accept: str = "") -> tuple[int, str, str]:
    connection = _Unix(path)
    connection.request("GET", page, headers={"Accept": accept})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], text


def samples(text: str) -> Samples:
    """Return {name with its labels sorted: value}."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            bare, _, labels = name.partition("{")
            parts = sorted(re.findall(r'(\w+="[^"]*")', labels))
            found[bare + ("{" + ",".join(parts) + "}" if parts else "")] = float(value)
    return found


def scrape(short_tmp: Path) -> Samples:
    return samples(get(short_tmp / "n.sock", "/metrics")[2])


def outcomes(found: Samples, label: str, queue: str = "email") -> dict[str, int]:
    pattern = re.compile(rf'jobd_jobs_total{{job="{label}",outcome="(\w+)",queue="{queue}"}}')
    return {match[1]: int(value) for name, value in found.items() if (match := pattern.fullmatch(name)) and value}


def add(daemon: DaemonProcess, how: str, name: str = "odd", **options: Any) -> str:
    job_id: str = daemon.call("job.add", queue="email", name=name, data={"how": how}, options=options)["job"]["id"]
    return job_id


def all_ended(daemon: DaemonProcess, count: int) -> None:
    def ended() -> bool:
        queue = daemon.call("queue.show", queue="email")["queue"]
        return queue["completed"] + queue["failed"] == count

    wait_until(ended, what="every job has ended")


def test_every_run_counts_once_and_nothing_is_lost_with_a_worker(daemon: DaemonProcess, short_tmp: Path) -> None:
    for step, how in enumerate(("fine", "fails", "later", "dies", "overruns"), 1):
        add(daemon, how)
        add(daemon, how, "welcome")
        # One after the other: a neighbour of the one that dies would be handed back.
        all_ended(daemon, 2 * step)
    found = scrape(short_tmp)
    assert outcomes(found, "other") == {"completed": 2, "failed": 1, "retried": 1, "crashed": 1, "timed_out": 1}
    # `welcome` may run twice: a failure and a timeout are tried again.
    assert outcomes(found, "welcome") == {"completed": 2, "failed": 1, "retried": 2, "crashed": 1, "timed_out": 2}
    assert found['jobd_job_wait_seconds_count{queue="email"}'] == 10
    assert found['jobd_worker_restarts_total{queue="email",reason="crash"}'] == 2
    assert found['jobd_worker_restarts_total{queue="email",reason="timeout"}'] == 3
    assert found['shop_seen_total{kind="fails"}'] == 3
    assert found['shop_seen_total{kind="dies"}'] == 2
    before = outcomes(found, "welcome")
    wait_until(lambda: len(daemon.worker_pids("email")) == 2, what="both workers are back")
    for pid in daemon.worker_pids("email"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: scrape(short_tmp)['jobd_worker_restarts_total{queue="email",reason="crash"}'] == 4, what="seen")
    found = scrape(short_tmp)
    assert (outcomes(found, "welcome"), found['shop_seen_total{kind="fails"}']) == (before, 3)


def test_runs_that_others_end_and_jobs_that_never_run_count_too(daemon: DaemonProcess, short_tmp: Path) -> None:
    def runs() -> int | None:
        workers = daemon.queue("email")["workers"]
        return next((worker["pid"] for worker in workers if worker["jobs"]), None)

    def counted(label: str, queue: str = "email", **ends: int) -> None:
        wait_until(lambda: outcomes(scrape(short_tmp), label, queue) == ends, what=f"{label} of {queue} counts {ends}")

    daemon.call("job.add", queue="stale", name="n", data={"how": "fine"}, options={"timestamp": 1})
    counted("other", "stale", expired=1)
    job = add(daemon, "overruns", "held")
    pid = wait_until(runs, what="the job runs")
    assert daemon.call("worker.kill", pid=pid)["jobs"] == [job]
    counted("held", handed_back=1)
    wait_until(runs, what="it runs again")
    daemon.call("job.cancel", queue="email", ids=[job])
    counted("held", handed_back=1, cancelled=1)
    found = scrape(short_tmp)
    assert found['jobd_worker_restarts_total{queue="email",reason="crash"}'] == 0
    assert found['jobd_job_wait_seconds_count{queue="email"}'] == 1


def test_the_whole_page(daemon: DaemonProcess, short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(daemon, "fine", delay="1h")
    wait_until(lambda: len(daemon.worker_pids("email")) == 2, what="both workers are ready")
    status, content_type, text = get(short_tmp / "n.sock", "/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples(text)
    assert found['jobd_queue_jobs{queue="email",state="delayed"}'] == 1
    assert found['jobd_queue_jobs{queue="email",state="waiting_children"}'] == 0
    assert found['jobd_queue_info{queue="email",state="running",why="nothing_due"}'] == 1
    assert found['jobd_slots{queue="email",state="free"}'] == 2
    assert found['jobd_workers{queue="email",state="ready"}'] == 2
    assert found['jobd_workers{queue="email",state="restarting"}'] == 0  # never absent: an alert asks for "0 are ready"
    assert found['jobd_worker_memory_bytes{queue="email",worker="0"}'] > 1_000_000
    assert found['jobd_worker_memory_bytes{queue="email",worker="1"}'] > 1_000_000
    assert found['jobd_breaker_open{queue="email"}'] == 0
    assert (found["jobd_ready"], found["jobd_redis_up"], found["jobd_config_generation"]) == (1, 1, 1)
    assert 0 < found["jobd_redis_seconds"] < 0.3
    assert found['jobd_build_info{version="0.1.0"}'] == 1
    assert get(short_tmp / "n.sock", "/livez")[0] == get(short_tmp / "n.sock", "/readyz")[0] == 200
    assert get(short_tmp / "n.sock", "/")[0] == 404
    open_metrics = get(short_tmp / "n.sock", "/metrics", "application/openmetrics-text; version=1.0.0")
    assert open_metrics[1].startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics[2].endswith("# EOF\n")
    assert main(["--socket", str(daemon.socket), "metrics"]) == 0
    assert samples(capsys.readouterr().out).keys() == found.keys()


def test_reloads_are_counted_by_how_they_ended(daemon: DaemonProcess, short_tmp: Path) -> None:
    text = QUEUES.format(folder=short_tmp)
    daemon.reload(text.replace("workers = 2", "workers = 1"))
    bad_setup = f'{text}\n[queues.new]\nhandler = "counting_handlers:ends"\nsetup = "daemon_handlers:bad_setup"'
    for wrong in (f"{text}\nnonsense = 1", bad_setup):
        with pytest.raises(Failed):
            daemon.reload(wrong)
    found = scrape(short_tmp)
    for result in ("applied", "refused", "rolled_back"):
        assert found[f'jobd_config_reloads_total{{result="{result}"}}'] == 1, result


def test_what_redis_does_not_say_is_absent_and_the_scrape_comes_at_once(
    make: Callable[..., DaemonProcess], short_tmp: Path, own_redis: RedisServer
) -> None:
    daemon = make(QUEUES.format(folder=short_tmp), url=own_redis.url)
    wait_until(lambda: len(daemon.worker_pids("email")) == 2, 20, what="both workers are ready")
    assert 'jobd_queue_jobs{queue="email",state="failed"}' in scrape(short_tmp)
    own_redis.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        found = scrape(short_tmp)
        assert time.monotonic() - began < 2
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
    assert found["jobd_redis_up"] == 0
    assert not [
        name for name in found if name.startswith(("jobd_queue_jobs", "jobd_queue_oldest", "jobd_redis_seconds"))
    ]
    assert found['jobd_workers{queue="email",state="ready"}'] == 2


def test_without_a_daemon_there_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", "/nowhere/c.sock", "metrics"]) == 69
    assert "no daemon answers" in capsys.readouterr().err


def test_the_extra_is_told_when_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "jobd.toml"
    file.write_text('[redis]\nurl = "redis://h"\n[daemon]\nhttp = "127.0.0.1:9464"\n[queues]\nq = "m:f"\n')
    monkeypatch.setattr("jobd.config.rules.find_spec", lambda name: None)
    assert main(["check", str(file)]) == 78
    assert "`http` needs the extra `metrics`" in capsys.readouterr().err
