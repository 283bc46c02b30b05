"""Three daemons with one file on one Redis: each shows itself, and what one host does stays or shows everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.support.daemon_process import ROOT
from tests.support.waiting import wait_until

QUEUES = (
    '[queues.a]\nhandler = "daemon_handlers:slow"\nlock_duration = "1s"\nstalled_interval = "1s"\n'
    '[queues.b]\nhandler = "daemon_handlers:ok"\n'
)


def _hosts(daemon) -> list[dict]:
    return daemon.call("host.list")["hosts"]


def test_three_daemons_list_each_other_and_warn_of_another_file(make, r, prefix, redis_server, short_tmp):
    daemons = [make(QUEUES) for _ in range(3)]
    first, second, third = daemons
    wait_until(lambda: {host["pid"] for host in _hosts(first)} == {daemon.pid for daemon in daemons}, 15)
    row = next(host for host in _hosts(second) if host["pid"] == third.pid)
    assert (row["queues"], row["generation"], row["host"]) == (["a", "b"], 1, os.uname().nodename)
    assert row["since"] > 1_700_000_000_000
    third.reload(QUEUES + "concurrency = 2\n")
    wait_until(lambda: [host["generation"] for host in _hosts(first) if host["pid"] == third.pid] == [2], 15)
    told = f"{os.uname().nodename} (pid {third.pid}) runs another file on the same queues"
    wait_until(lambda: told in first.status()["strangers"], 15)
    assert third.stop() == 0
    assert {host["pid"] for host in _hosts(first)} == {first.pid, second.pid}
    second.kill()
    sign = f"{prefix}::host:" + next(host["incarnation"] for host in _hosts(first) if host["pid"] == second.pid)
    assert 0 < r.pttl(sign) <= 30_000
    r.pexpire(sign, 1)
    wait_until(lambda: {host["pid"] for host in _hosts(first)} == {first.pid}, 15)
    elsewhere = short_tmp / "jobd.toml"
    elsewhere.write_text(f'[redis]\nurl = "{redis_server.url}"\nprefix = "{prefix}"\n{QUEUES}')
    done = subprocess.run(
        [sys.executable, "-m", "jobd", "host", "list", "--json", "--config", str(elsewhere)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=False,
    )  # fmt: skip
    assert [host["pid"] for host in json.loads(done.stdout)["hosts"]] == [first.pid], done.stderr


def test_a_pause_holds_everywhere_with_its_reason_a_quiet_here_and_a_killed_hosts_job_runs_elsewhere_once(
    make, jobs, short_tmp
):
    one, two = make(QUEUES), make(QUEUES)
    one.call("queue.pause", queue="b", reason="cdn down")
    assert two.queue("b")["state"] == "paused"
    assert two.queue("b")["paused_why"] == "cdn down"
    one.call("queue.resume", queue="b")
    two.call("queue.quiet", queue="a")
    assert [one.queue("a")["state"], two.queue("a")["state"]] == ["running", "quiet"]
    queue, until = jobs("a"), short_tmp / "until"
    job = queue.add({"until": str(until), "mark": str(short_tmp / "mark")})
    queue.wait_state(job, "active")
    two.call("queue.unquiet", queue="a")
    one.kill()
    wait_until(lambda: two.queue("a")["busy"] == 1, 20, what="the job runs on the other host")
    until.touch()
    assert queue.wait_state(job, "completed")["atm"] == "1"
    assert (short_tmp / "mark").read_text().split().count("start") == 2
