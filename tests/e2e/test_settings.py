"""Each setting of a queue in a real worker: what the handler finds, and what ends it when it will not end."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.daemon_process import ROOT
from tests.support.waiting import wait_until

TELLS = '[queues.{}]\nhandler = "settings_handlers:tells"\n'


def test_what_a_handler_finds_is_what_its_queue_says(make, jobs, tmp_path):
    folder, more, mark = tmp_path / "work", tmp_path / "more", tmp_path / "mark"
    folder.mkdir()
    more.mkdir()
    daemon = make(
        TELLS.format("plain")
        + TELLS.format("all")
        + f'working_dir = "{folder}"\nnice = 3\nmode = "process"\nworkers = 2\n'
        f'path = ["{more}", "{ROOT}/tests/fixtures/daemon"]\n'
        f'env = {{ WHO = "{{queue}}-{{worker}}", GPU = "{{worker}}", APP = "{{app}}", TEARDOWN_MARK = "{mark}" }}\n'
        'setup = "settings_handlers:setup"\nteardown = "settings_handlers:teardown"\n'
        'wrap = ["settings_handlers:wrapped"]\n'
    )
    plain, every = jobs("plain"), jobs("all")
    found = plain.result(plain.add())
    assert (found["folder"], found["nice"], found["main thread"]) == (str(daemon.folder), os.nice(0), False)
    assert (found["env"], found["lives"]) == ({"WHO": None, "GPU": None, "APP": None}, [])
    wait_until(lambda: len(daemon.worker_pids("all")) == 2)
    by_worker = {}

    def both() -> bool:
        told = every.result(every.add())
        by_worker[told["worker"]] = told
        return len(by_worker) == 2

    wait_until(both, 20)
    for number, told in by_worker.items():
        assert (told["folder"], told["nice"], told["main thread"]) == (str(folder), os.nice(0) + 3, True)
        assert told["env"] == {"WHO": f"all-{number}", "GPU": str(number), "APP": "jobd"}
        assert told["lives"][:2] == ["set up", "wrapped"]
        assert told["path"].index(str(more)) < told["path"].index(f"{ROOT}/tests/fixtures/daemon")
    pids = {str(told["pid"]) for told in by_worker.values()}
    assert daemon.stop() == 0
    assert set(mark.read_text().split()) == pids


def test_another_virtualenv_needs_the_base_package_alone(make, jobs, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = venv / "lib" / version / "site-packages"
    # What `pip install jobd-mq` brings: redis-py. jobd itself comes from the folder of these tests.
    for name in ("redis", f"redis-{redis_py.__version__}.dist-info"):
        (packages / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    python = venv / "bin" / "python"
    daemon = make(TELLS.format("here") + TELLS.format("there") + f'python = "{python}"\nworkers = 2\n')
    here, there = jobs("here"), jobs("there")
    assert here.result(here.add())["pydantic"] is True
    found = there.result(there.add())
    assert (found["python"], found["pydantic"]) == (str(python), False)
    (pid, *_) = daemon.worker_pids("there")
    assert daemon.call("worker.restart", pid=pid)["queue"] == "there"
    daemon.reload(code=True)
    assert there.result(there.add())["python"] == str(python)


@pytest.mark.parametrize(
    ("handler", "worker_lives"),
    [
        ("sleeps", True),
        ("sleeps_in_thread", True),
        ("swallows", False),
        ("swallows_in_thread", False),
        ("blocks_loop", False),
    ],
)
def test_a_timeout_ends_the_attempt_and_kill_after_what_does_not_heed_it(make, jobs, handler, worker_lives):
    daemon = make(
        '[queues.a]\nlock_duration = "5s"\nmax_crashes = 0\nkill_after = "300ms"\n[queues.a.jobs]\n'
        f'bad = {{ handler = "settings_handlers:{handler}", timeout = "300ms" }}\n'
        'good = "daemon_handlers:ok"\n'
    )
    a = jobs("a")
    (before,) = daemon.worker_pids("a")
    fields = a.wait_state(a.add(name="bad"), "failed", 20)
    assert fields["failedReason"].startswith("timed out after 300ms"), fields
    assert (fields["atm"], fields.get("stc")) == ("1", None)
    assert a.result(a.add(name="good"))
    assert (daemon.worker_pids("a") == [before]) is worker_lives
    assert daemon.status()["state"] == "ready"


def test_on_failed_hears_once_after_the_last_attempt(make, jobs, r, prefix):
    make('[queues.a]\nhandler = "settings_handlers:fails"\non_failed = "settings_handlers:on_failed"\n')
    a = jobs("a")
    job = a.add(attempts=3, backoff="10ms")
    a.wait_state(job, "failed")
    assert r.lrange(f"{prefix}:a:{job}:logs", 0, -1) == ["heard of ValueError: on purpose"]


@pytest.mark.parametrize(("rule", "bytes_"), [("jobs = 5", 10), ('memory = "120MB"', 30_000_000), ('age = "1s"', 10)])
def test_a_worker_is_replaced_when_it_has_had_its_share_and_no_job_notices(make, jobs, rule, bytes_):
    daemon = make(f'[queues.a]\nhandler = "settings_handlers:grows"\nrecycle = {{ {rule} }}\nmax_crashes = 0\n')
    a = jobs("a")
    pids: list[int] = []

    def replaced_twice() -> bool:
        pids.append(a.result(a.add({"bytes": bytes_})))
        return len(set(pids)) >= 3

    wait_until(replaced_twice, 60)
    for pid in list(dict.fromkeys(pids))[:2]:
        ended = wait_until(lambda pid=pid: [e for e in daemon.logged("worker exited") if e["pid"] == pid])[0]
        assert (ended["why"], ended["exit"]) == ("asked", "exit code 0")
    for job in a.ids("completed"):
        assert a.hash(job)["ats"] == "1"


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ('mode = "process"\nconcurrency = 2', "runs one job at a time"),
        ('mode = "async"\nhandler = "settings_handlers:tells"', "async"),
        ('nice = 3.5', "whole number"),
        ('memory_max = "1MB"', "less than a worker takes"),
        ('recycle = { age = "10ms" }', "replaces workers about as fast"),
        ('recycle = {}', "recycle"),
        ('python = "/no/python"', "no program"),
        ('working_dir = "/no/folder"', "no folder"),
        ('setup = "settings_handlers:missing"', "settings_handlers:missing"),
        ('wrap = ["settings_handlers:missing"]', "settings_handlers:missing"),
        ('on_failed = "settings_handlers:missing"', "settings_handlers:missing"),
        ('env = { GPU = "{wroker}" }', "wroker"),
        ('timeout = 30', '"30s"'),
        ('kill_after = "soon"', "kill_after"),
        ('batch = { max = 4 }\nmode = "process"\nconcurrency = 3', "one job at a time"),
    ],
)  # fmt: skip
def test_what_cannot_be_enforced_is_refused_by_check_with_its_place(tmp_path, keys, word):
    handler = "" if "\nhandler" in keys else 'handler = "settings_handlers:tells"\n'
    (tmp_path / "jobd.toml").write_text(
        f'[app]\npath = ["{ROOT}/tests/fixtures/daemon"]\n[redis]\nurl = "redis://127.0.0.1:1"\n[queues.a]\n{handler}{keys}\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "jobd", "check"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert (done.returncode, word in text) == (78, True), text
    assert "jobd.toml:" in text
    assert "Traceback" not in text
