"""Schedules of the file under real daemons: fired, kept over restarts, reloaded, shared with Node and other hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.daemon_process import ROOT, DaemonProcess, Failed
from tests.support.node import start_node
from tests.support.waiting import wait_until

PEER = Path(__file__).parents[1] / "interop" / "schedules.cjs"
QUEUE = '[queues.reports]\nhandler = "daemon_handlers:{}"\nlock_duration = "1s"\nkeep_completed = true\n'
TICK = '[schedules.tick]\nqueue = "reports"\nevery = "{}"\n'
SECONDS = '[schedules.secs]\nqueue = "reports"\nname = "each"\ncron = "* * * * * *"\ntimezone = "Europe/Athens"\n'


def cli(daemon: DaemonProcess, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "jobd", *words, "--socket", str(daemon.socket)],
        capture_output=True, text=True, check=False, timeout=30, cwd=daemon.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def slots(r, prefix, name, where="completed"):
    """The moments of a schedule's runs, oldest first."""
    found = r.zrange(f"{prefix}:reports:{where}", 0, -1)
    return sorted(int(one.rpartition(":")[2]) for one in found if one.startswith(f"repeat:{name}:"))


def last_runs(daemon):
    """When each schedule ran last, as the numbers say, in seconds since 1970."""
    text = daemon.call("metrics")["text"]
    return {
        line.partition('schedule="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("jobd_schedule_last_run_timestamp_seconds{")
    }


def test_an_interval_and_a_pattern_fire_and_a_restart_keeps_the_rhythm(make, r, prefix):
    daemon = make(QUEUE.format("ok") + TICK.format("1s") + SECONDS)
    wait_until(lambda: len(slots(r, prefix, "tick")) >= 2 and len(slots(r, prefix, "secs")) >= 2)
    first = slots(r, prefix, "tick")[0]
    daemon.stop()
    pause = time.monotonic()
    wait_until(lambda: time.monotonic() - pause > 1.5)
    before = len(slots(r, prefix, "tick"))
    daemon.start_ready()
    wait_until(lambda: len(slots(r, prefix, "tick")) >= before + 2)
    assert {(slot - first) % 1000 for slot in slots(r, prefix, "tick")} == {0}
    assert all(slot % 1000 == 0 for slot in slots(r, prefix, "secs"))
    assert wait_until(lambda: last_runs(daemon).keys() == {"tick", "secs"} and last_runs(daemon))
    assert all(time.time() - last < 60 for last in last_runs(daemon).values())
    events = [fields for _, fields in r.xrange(f"{prefix}:reports:events")]
    runs = [fields["jobId"] for fields in events if fields["event"] == "active"]
    assert len(runs) == len(set(runs))


def test_a_reload_adds_changes_and_removes(make, r, prefix):
    daemon = make(QUEUE.format("ok"))
    steps: list[str] = []
    daemon.write(QUEUE.format("ok") + TICK.format("1h"))
    assert "new schedule" in cli(daemon, "plan")
    daemon.call("reload", progress=steps)
    assert [step.split() for step in steps if step.startswith("tick")] == [["tick", "set"]]
    (row,) = json.loads(cli(daemon, "schedule", "list", "--json"))["schedules"]
    assert (row["name"], row["every_ms"], row["app"], row["state"]) == ("tick", 3_600_000, "jobd", "running")
    assert row["place"].startswith("jobd.toml:")
    daemon.reload(QUEUE.format("ok") + TICK.format("2h"))
    assert r.hget(f"{prefix}:reports:repeat:tick", "every") == "7200000"
    daemon.reload(QUEUE.format("ok"))
    assert r.exists(f"{prefix}:reports:repeat", f"{prefix}:reports:repeat:tick") == 0


def test_commands_through_the_daemon(make, r, prefix, jobs):
    daemon = make(QUEUE.format("ok") + TICK.format("1h"))
    q = jobs("reports")
    wait_until(lambda: slots(r, prefix, "tick"))
    assert "tick is paused" in cli(daemon, "schedule", "pause", "tick")
    daemon.stop()
    daemon.start_ready()
    (row,) = json.loads(cli(daemon, "schedule", "list", "--json"))["schedules"]
    assert row["state"] == "paused"
    assert "paused: no run comes" in cli(daemon, "schedule", "next", "tick")
    assert r.exists(f"{prefix}:reports:repeat") == 0
    assert "tick runs; next " in cli(daemon, "schedule", "resume", "tick")
    assert len(cli(daemon, "schedule", "next", "tick", "-n", "3").splitlines()) == 3
    added = json.loads(cli(daemon, "schedule", "run", "tick", "--json"))
    assert q.result(added["id"]) == {"id": added["id"]}


def test_two_hosts_of_one_name_share_their_schedules(make, r, prefix):
    first = make(QUEUE.format("ok") + TICK.format("1h") + SECONDS)
    second = make(QUEUE.format("ok") + TICK.format("1h"))
    key = f"{prefix}:reports:repeat"
    assert set(r.zrange(key, 0, -1)) == {"tick", "secs"}
    second.reload(QUEUE.format("ok") + TICK.format("3h"))
    assert r.hget(f"{key}:tick", "every") == "10800000"
    first.stop()
    first.start_ready()
    first.reload(QUEUE.format("ok") + TICK.format("1h"))
    assert r.hget(f"{key}:tick", "every") == "10800000"
    assert r.zrange(key, 0, -1) == ["tick"]


@pytest.mark.node
def test_a_node_worker_beside(make, r, prefix, redis_server):
    with start_node(PEER, redis_server.tcp_url, prefix, "reports") as node:

        def ask(verb, args=None):
            print(json.dumps({"verb": verb, "args": args}), file=node.stdin, flush=True)
            return json.loads(node.stdout.readline())["answer"]

        daemon = make(QUEUE.format("ok") + TICK.format("100ms"))
        daemon.call("queue.quiet", queue="reports")
        ask("work")
        wait_until(lambda: len(ask("ran")) >= 5)
        daemon.call("queue.unquiet", queue="reports")
        wait_until(lambda: len(slots(r, prefix, "tick")) >= 15)
        by_node = ask("rest")
        wait_until(lambda: len(slots(r, prefix, "tick")) >= len(by_node) + 5)
        found = slots(r, prefix, "tick")
        assert len({slot % 100 for slot in found}) == 1
        assert [one["key"] for one in ask("list")] == ["tick"]
        ask("upsert", ["theirs", {"every": 3_600_000}])
        with pytest.raises(Failed) as refused:
            daemon.reload(QUEUE.format("ok") + TICK.format("1h").replace("tick", "theirs"))
        assert refused.value.exit == 78
        assert "others (Node, or a client) made" in str(refused.value)
        assert r.hget(f"{prefix}:reports:repeat:theirs", "every") == "3600000"
        node.stdin.close()
        node.wait(20)


def test_runs_that_overlap_are_left_out(make, r, prefix, tmp_path):
    until = tmp_path / "until"
    data = f'data = {{ until = "{until}" }}\noverlap = "skip"\n'
    make(QUEUE.format("slow") + "concurrency = 4\n" + TICK.format("300ms") + data)
    wait_until(lambda: len(slots(r, prefix, "tick")) >= 3)
    base = f"{prefix}:reports:"
    (running,) = r.lrange(f"{base}active", 0, -1)
    results = [r.hget(base + one, "returnvalue") for one in r.zrange(f"{base}completed", 0, -1)]
    assert {json.loads(result)["skipped"] for result in results} == {f"{running} is not through"}
    until.touch()
    wait_until(lambda: r.hget(base + running, "returnvalue") == '"slow"')


def held_starts(mark):
    """The runs of `slow` that have begun, in order."""
    return (
        [line.split()[1] for line in mark.read_text().splitlines() if line.startswith("start")] if mark.exists() else []
    )


def test_runs_that_overlap_wait_for_each_other(make, r, prefix, tmp_path):
    until, mark = tmp_path / "until", tmp_path / "mark"
    data = f'data = {{ until = "{until}", mark = "{mark}" }}\noverlap = "queue"\n'
    daemon = make(QUEUE.format("slow") + "concurrency = 4\n" + TICK.format("300ms") + data)
    base = f"{prefix}:reports:"

    def put_off():
        return [job for job in r.zrange(f"{base}delayed", 0, -1) if int(r.hget(base + job, "ats") or 0) > 0]

    wait_until(lambda: len(put_off()) >= 2, what="two runs wait for the first")
    assert len(held_starts(mark)) == 1
    daemon.reload(QUEUE.format("slow") + "concurrency = 4\n")
    until.touch()
    wait_until(lambda: sum(r.zcard(base + key) for key in ("delayed", "prioritized")) + r.llen(base + "wait") == 0, 30)
    wait_until(lambda: r.llen(base + "active") == 0)
    lines = [line.split()[:2] for line in mark.read_text().splitlines()]
    runs = [job for _, job in lines[::2]]
    assert lines == [[what, job] for job in runs for what in ("start", "end")], "one after the other"
    assert len(runs) == len(set(runs)) >= 3
    assert {r.hget(base + job, "returnvalue") for job in r.zrange(f"{base}completed", 0, -1)} == {'"slow"'}


def test_runs_may_overlap(make, r, prefix, tmp_path):
    until, mark = tmp_path / "until", tmp_path / "mark"
    data = f'data = {{ until = "{until}", mark = "{mark}" }}\noverlap = "allow"\n'
    make(QUEUE.format("slow") + "concurrency = 4\n" + TICK.format("300ms") + data)
    wait_until(lambda: len(set(held_starts(mark))) == 4, what="four of them run at once")
    assert "end" not in mark.read_text()
    until.touch()


def test_jitter_makes_runs_late_by_different_times_and_keeps_their_slots(make, r, prefix):
    make(QUEUE.format("ok") + TICK.format("1s") + 'jitter = "900ms"\n')
    base, late = f"{prefix}:reports:", {}

    def seen():
        for job, score in r.zrange(f"{base}delayed", 0, -1, withscores=True):
            late[job] = int(score) // 4096 - int(job.rpartition(":")[2])
        return len(late) >= 4

    wait_until(seen, 30, what="four runs that are not due yet were seen", every=0.02)
    assert len({int(job.rpartition(":")[2]) % 1000 for job in late}) == 1
    assert all(0 <= ms < 900 for ms in late.values()), late
    assert len(set(late.values())) > 1, late
