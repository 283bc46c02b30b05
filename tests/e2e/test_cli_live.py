"""The command line against the real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

_QUEUES = """
[queues.email]
concurrency = 2
[queues.email.jobs]
ok = "daemon_handlers:ok"
slow = "daemon_handlers:slow"
fails = "daemon_handlers:fails"
"""


class Live:
    """A daemon and commands that are run in its folder."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "jobd", *words], cwd=self.daemon.folder, env=_env(), input=stdin,
                              capture_output=True, text=True, check=False)  # fmt: skip

    def out(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        document = json.loads(self.out(*words, "--json"))
        assert document["schema"] == 1
        return document


def _env() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
    return {**mine, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture
def live(short_tmp: Path, redis_server: RedisServer, prefix: str) -> Iterator[Live]:
    with DaemonProcess(short_tmp / "d", redis_server.url, _QUEUES, prefix=prefix) as daemon:
        daemon.start_ready()
        yield Live(daemon)


def test_a_job_is_added_run_and_shown(live: Live) -> None:
    assert live.out("job", "add", "email", "ok", '{"a": 1}', "--wait") == '{"id": "1"}\n'
    failed = live.run("job", "add", "email", "fails", "--wait")
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", "error: job 2 failed: fails\n")
    states = {job["id"]: job["state"] for job in live.json("job", "list", "email")["jobs"]}
    assert states == {"1": "completed", "2": "failed"}
    assert "RuntimeError: fails" in live.out("job", "show", "email", "2")
    assert live.run("job", "retry", "email", "--error", "fa*", "--yes").stdout == "retried 1\n"
    wait_until(lambda: live.json("job", "show", "email", "2")["job"]["attempts_made"] == 2, what="it ran again")
    assert live.out("job", "remove", "email", "1") == "removed 1\n"


def test_wait_has_the_result_of_a_job_that_is_not_kept(live: Live) -> None:
    assert live.out("job", "add", "email", "ok", "--keep-completed", "false", "--wait=20s") == '{"id": "1"}\n'
    assert live.run("job", "show", "email", "1").returncode == 1


def test_wait_works_where_only_the_daemon_reaches_redis(live: Live) -> None:
    words = ("--config", "/nowhere.toml", "--socket", str(live.daemon.socket))
    assert live.out("job", "add", "email", "ok", "--wait=20s", *words) == '{"id": "1"}\n'
    gone = live.run("job", "add", "email", "slow", '{"s": 0.3}', "--keep-completed", "false", "--wait=20s", *words)
    assert (gone.returncode, gone.stdout) == (0, '"slow"\n'), "the daemon waits on the queue's events"


def test_a_second_daemon_on_the_same_files_is_exit_1(live: Live) -> None:
    done = live.run("run")
    assert done.returncode == 1
    assert str(live.daemon.pid) in done.stderr


def test_exec_takes_the_data_of_a_job_and_leaves_it_alone(live: Live) -> None:
    live.out("job", "add", "email", "ok", "--delay", "1h", "--id", "later")
    before = live.json("job", "show", "email", "later")
    assert live.out("exec", "email", "ok", "--job", "later") == '{"id": "later"}\n'
    assert live.json("job", "show", "email", "later") == before
    assert live.run("exec", "email", "ok", "--job", "nope").returncode == 1


def test_what_is_too_large_for_the_socket_goes_to_the_same_redis(live: Live) -> None:
    done = live.run("job", "add", "email", "ok", "-", "--delay", "1h", stdin=json.dumps("x" * 3_000_000))
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    away = live.run("job", "add", "email", "ok", "-", "--config", "/nowhere.toml", "--socket", "control.sock",
                    stdin=json.dumps("x" * 3_000_000))  # fmt: skip
    assert away.returncode == 2
    assert "--redis" in away.stderr


def test_what_a_daemon_leaves_out_of_a_job_is_read_from_the_same_redis(live: Live) -> None:
    done = live.run("job", "add", "email", "ok", "-", "--delay", "1h", stdin=json.dumps("x" * 5_000_000))
    shown = live.json("job", "show", "email", done.stdout.strip())["job"]
    assert (len(shown["data"]), shown["cut"]) == (5_000_000, {})


def test_pause_quiet_and_scale_show_in_status(live: Live) -> None:
    live.out("queue", "pause", "email", "--reason", "cdn down")
    assert live.json("status")["queues"][0]["state"] == "paused"
    assert "cdn down" in live.out("status")
    live.out("queue", "resume", "email")
    live.out("queue", "quiet", "email")
    assert live.json("status")["queues"][0]["state"] == "quiet"
    assert live.json("queue", "show", "email")["queue"]["state"] == "quiet"
    live.out("queue", "unquiet", "email")
    assert live.json("queue", "scale", "email", "+1") == {"schema": 1, "queue": "email", "workers": 2, "was": 1}
    wait_until(lambda: len(live.json("worker", "list")["workers"]) == 2, what="two workers")
    assert live.out("queue", "scale", "email", "-1") == "email has 1 worker (was 2)\n"
    assert live.out("queue", "scale", "email", "--reset") == "email has 1 worker (was 1)\n"
    assert live.run("queue", "quiet", "emial").returncode == 1


def test_an_edit_is_planned_applied_and_a_mistake_refused(live: Live) -> None:
    assert live.run("plan", "--exit-code").returncode == 0
    live.daemon.write(_QUEUES.replace("concurrency = 2", "concurrency = 3"))
    planned = live.run("plan", "--exit-code")
    assert (planned.returncode, planned.stdout.splitlines()[-1]) == (10, "generation 1 -> 2.  Apply with: jobd reload")
    assert "changed on disk" in live.out("status")
    assert live.out("reload").splitlines()[-1].startswith("reloaded     generation 2 in ")
    live.daemon.write(_QUEUES.replace("daemon_handlers:ok", "daemon_handlers:okay"))
    refused = live.run("reload")
    assert refused.returncode == 78
    assert refused.stderr.splitlines()[-1] == "not applied. generation 2 keeps running."
    assert "cannot import `daemon_handlers:okay`" in refused.stderr
    live.daemon.write("[queues.email]\n")
    assert live.run("plan").returncode == 78
    assert json.loads(live.run("reload", "--json").stdout)["error"]["code"] == "config-invalid"


def test_stop_names_who_it_waits_for_and_returns_when_the_daemon_is_gone(live: Live) -> None:
    live.out("job", "add", "email", "slow", '{"s": 60}')
    wait_until(lambda: live.json("status")["queues"][0]["busy"] == 1, what="the job runs")
    stopped = live.run("stop", "--grace", "1s")
    assert live.daemon.wait(1) == 0
    assert stopped.returncode == 0
    assert "waiting for 1 job" in stopped.stdout
    assert stopped.stdout.splitlines()[-1] == "done. 0 finished, 1 handed back (email 1; attempt not counted)."
    assert live.run("health").returncode == 3
    assert live.run("stop").returncode == 69


def test_status_needs_no_redis_and_tells_that_it_is_away(short_tmp: Path, own_redis: RedisServer) -> None:
    with DaemonProcess(short_tmp / "d", own_redis.url, _QUEUES) as daemon:
        live = Live(daemon.start_ready())
        own_redis.stop()
        done = live.run("status")
        assert " DOWN" in done.stdout
        assert json.loads(live.run("status", "--json").stdout)["queues"][0]["waiting"] is None
        assert live.run("job", "list", "email").returncode == 69


def test_config_show_is_what_is_in_force_not_what_is_on_disk(live: Live) -> None:
    live.daemon.write(_QUEUES.replace("concurrency = 2", "concurrency = 3"))
    assert "concurrency = 2" in live.out("config", "show")
    assert "queues.email.concurrency = 2" in live.out("config", "show", "--origin")
