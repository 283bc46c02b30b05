"""Reloads that go wrong half way, or meet another one: each has an end that is told, and no job pays for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.chaos.faults import processes
from tests.support.daemon_process import ROOT, Failed
from tests.support.waiting import wait_until

OK = '[queues.{}]\nhandler = "daemon_handlers:ok"\nlock_duration = "5s"\n'

GOOD = "def setup():\n    pass\n\n\ndef run(job):\n    return {release}\n"
RAISES = 'def setup():\n    raise RuntimeError("no database")\n\n\ndef run(job):\n    return {release}\n'
DIES = "import os\n\n\ndef setup():\n    os._exit(9)\n\n\ndef run(job):\n    return {release}\n"
BROKEN = "import nothing_of_this_name\n\n\ndef setup(): ...\n\n\ndef run(job):\n    return {release}\n"
SECOND_DIES = """
import os
from pathlib import Path


def setup():
    # The trial worker comes up; those that are to replace the others do not, as when a database has no more room.
    with Path({counter!r}).open("a") as file:
        file.write("x")
    if Path({counter!r}).stat().st_size > 1 and not Path({mended!r}).exists():
        os._exit(9)


def run(job):
    return {release}
"""


@pytest.fixture
def release(tmp_path: Path):
    """Write a release of the code: (text, its number)."""

    def write(text: str, number: int) -> None:
        (tmp_path / "released.py").write_text(
            text.format(release=number, counter=str(tmp_path / "counter"), mended=str(tmp_path / "mended"))
        )

    return write


@pytest.fixture
def served(make, release, tmp_path: Path):
    """A daemon with three workers on release 1, beside a queue that stays out of it."""
    release(GOOD, 1)
    text = f'[queues.a]\nhandler = "released:run"\nsetup = "released:setup"\npath = ["{tmp_path}"]\nworkers = 3\n'
    daemon = make(text + OK.format("b"))
    wait_until(lambda: len(daemon.worker_pids("a")) == 3)
    return daemon


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        pytest.param(RAISES, 1, "no database", id="setup raises"),
        pytest.param(DIES, 1, "it ended", id="setup ends the process"),
        pytest.param(BROKEN, 78, "import", id="it does not import"),
    ],
)
def test_new_code_that_does_not_come_up_is_rolled_back_everywhere(served, jobs, release, text, code, word):
    a, before = jobs("a"), (sorted(served.worker_pids("a")), served.worker_pids("b"))
    below = sorted(served.children())
    release(text, 2)
    with pytest.raises(Failed) as refused:
        served.reload(code=True)
    assert refused.value.exit == code
    assert word in str(refused.value)
    assert (sorted(served.worker_pids("a")), served.worker_pids("b")) == before
    assert (served.status()["generation"], served.status()["state"]) == (1, "ready")
    assert served.status()["last_reload"]["applied"] is False
    assert served.status()["code"]["changed_on_disk"] is True
    assert [a.result(a.add()) for _ in range(6)] == [1] * 6
    wait_until(lambda: sorted(served.children()) == below, what="nothing of the trial is left")
    release(GOOD, 3)
    assert served.reload(code=True)["interrupted"] == 0
    assert a.result(a.add()) == 3
    assert not set(before[0]) & set(served.worker_pids("a"))


def test_new_code_comes_without_a_dip(served, jobs, release):
    a, over, seen = jobs("a"), threading.Event(), []

    def look() -> None:
        while not over.is_set():
            seen.append(len(served.worker_pids("a")))

    release(GOOD, 2)
    looks = threading.Thread(target=look)
    looks.start()
    served.reload(code=True)
    over.set()
    looks.join()
    assert min(seen) >= 3
    assert a.result(a.add()) == 2


def test_workers_that_die_while_it_is_applied_leave_the_old_ones_in_service_until_it_works(
    served, jobs, release, tmp_path
):
    a = jobs("a")
    old = set(served.worker_pids("a"))
    release(SECOND_DIES, 2)
    told: list[str] = []
    report = served.call("reload", code=True, progress=told, timeout=60)
    assert (report["generation"], report["interrupted"]) == (2, 0)
    assert any("held back" in line for line in told), told
    status = served.status()
    assert status["state"] == "degraded"
    assert any(why.startswith("a: ") for why in status["degraded_by"]), status["degraded_by"]
    still = set(served.worker_pids("a"))
    assert len(still) == 3
    assert len(still & old) == 2
    assert {a.result(a.add()) for _ in range(12)} <= {1, 2}
    (tmp_path / "mended").touch()
    wait_until(lambda: not old & set(served.worker_pids("a")), 40, what="the roll goes on by itself")
    wait_until(lambda: served.status()["state"] == "ready" and len(served.worker_pids("a")) == 3, 20)
    assert [a.result(a.add()) for _ in range(6)] == [2] * 6


def test_a_trial_worker_that_is_killed_undoes_the_reload(served, held_setup, tmp_path):
    before = served.worker_pids("b")
    held_setup.hold()
    served.config.write_text(served.config.read_text() + held_setup.keys)  # of the last, b
    outcome: list[object] = []

    def reload() -> None:
        try:
            outcome.append(served.reload())
        except Failed as refused:
            outcome.append(refused)

    known = set(served.children())
    asked = threading.Thread(target=reload)
    asked.start()
    trial = wait_until(lambda: _workers(served, known), 20)
    for pid in trial:
        os.kill(pid, 9)
    asked.join(30)
    assert isinstance(outcome[0], Failed), outcome
    assert "trial worker is not ready" in str(outcome[0])
    assert served.worker_pids("b") == before
    assert len(served.worker_pids("a")) == 3
    wait_until(lambda: set(served.children()) == known)


def _workers(daemon, known: set[int]) -> list[int]:
    return [pid for pid in processes(daemon, "jobd-worker") if pid not in known]


def jobd(daemon, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "jobd", *args, "--socket", str(daemon.socket)], cwd=daemon.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_plan_and_reload_tell_the_same_steps_also_as_json(make, jobs, tmp_path):
    daemon = make("".join(OK.format(name) for name in ("same", "number", "replaced", "gone")))
    daemon.write(
        OK.format("same") + OK.format("number") + "concurrency = 4\n" + OK.format("replaced") + 'env = { A = "1" }\n'
        + OK.format("new")
    )  # fmt: skip
    code, text = jobd(daemon, "plan", "--json", "--exit-code")
    plan = json.loads(text)
    assert (code, plan["schema"], plan["generation"], plan["next_generation"]) == (10, 1, 1, 2)
    by_queue = {step["queue"]: (step["mark"].strip(), step["action"]) for step in plan["steps"]}
    assert by_queue == {
        "same": ("", "keep"), "number": ("~", "in place"), "replaced": ("~", "replace"), "new": ("+", "add"),
        "gone": ("-", "remove"),
    }  # fmt: skip
    code, lines = jobd(daemon, "plan")
    assert (code, "generation 1 -> 2.  Apply with: jobd reload" in lines) == (0, True)
    for name in by_queue:
        assert any(name in line.split()[:2] for line in lines.splitlines())
    code, text = jobd(daemon, "reload", "--json")
    report = json.loads(text)
    assert (code, report["schema"], report["generation"], report["interrupted"]) == (0, 1, 2, 0)
    assert report["steps"] == plan["steps"]
    assert jobd(daemon, "plan", "--exit-code") == (0, jobd(daemon, "plan")[1])


WAITS = """
import os
from pathlib import Path
from time import sleep


def setup():
    Path({begun!r}).touch()
    while not Path({end!r}).exists():
        sleep(0.01)


def run(job):
    return "waited"


def dies(job):
    os._exit(9)
"""


@pytest.fixture
def waits(tmp_path: Path) -> str:
    """The table of a queue whose setup goes on until the test makes `tmp_path / "end"`."""
    text = WAITS.format(begun=str(tmp_path / "begun"), end=str(tmp_path / "end"))
    (tmp_path / "waits.py").write_text(text)
    return f'[queues.slow]\nhandler = "waits:run"\nsetup = "waits:setup"\npath = ["{tmp_path}"]\n'


def test_a_slow_setup_of_one_queue_holds_up_no_reload_of_another(make, jobs, waits, tmp_path):
    daemon = make(OK.format("a") + waits, ready=False).start()
    wait_until((tmp_path / "begun").exists, 20, what="the setup runs")
    told: list[str] = []
    for number in (2, 3):  # the second would wait for a lock that the first still had
        daemon.write(OK.format("a") + f"concurrency = {number}\n" + OK.format(f"new{number}") + waits)
        assert daemon.call("reload", code=False, progress=told)["generation"] == number
    assert not any("waiting for" in line for line in told), told
    new = jobs("new3")
    assert new.result(new.add()) == {"id": "1"}
    assert [worker["state"] for worker in daemon.queue("slow")["workers"]] == ["starting"]
    health = daemon.call("health", kind="ready")
    assert (daemon.status()["state"], health["ready"], health["why"]) == ("starting", False, "starting: slow")
    (tmp_path / "end").touch()
    slow = jobs("slow")
    assert slow.result(slow.add()) == "waited"
    daemon.wait_ready()


def test_a_restart_that_is_due_later_holds_up_no_reload_of_another(make, jobs, waits, tmp_path):
    (tmp_path / "end").touch()
    dying = waits.replace("waits:run", "waits:dies") + "max_crashes = 1\nbreaker = false\n"
    daemon = make(OK.format("a") + dying)
    slow = jobs("slow")
    for _ in range(3):
        slow.add()
    wait_until(lambda: daemon.logged("worker restarts later"), 20)
    (tmp_path / "end").unlink()  # whoever is started from here on is not ready before the end of the test
    assert daemon.reload(OK.format("a") + OK.format("b") + dying)["generation"] == 2
    b = jobs("b")
    assert b.result(b.add()) == {"id": "1"}
    assert daemon.worker_pids("slow") == []


def test_presets_and_the_choice_of_queues_as_a_user_writes_them(make, jobs, tmp_path):
    text = """
queues = ["mail*", "thumbs"]
[defaults]
attempts = 3
concurrency = 2
[presets.cpu]
workers = 2
concurrency = 1
timeout = "10m"
[queues.thumbs]
preset = "cpu"
handler = "daemon_handlers:ok"
[queues.mail]
handler = "daemon_handlers:ok"
[queues.mail-big]
preset = "cpu"
concurrency = 5
handler = "daemon_handlers:ok"
[queues.elsewhere]
handler = "daemon_handlers:ok"
"""
    daemon = make(text)
    wanted = {"thumbs": (2, 2), "mail": (1, 2), "mail-big": (2, 10)}
    wait_until(lambda: {q["name"]: (len(q["workers"]), q["slots"]) for q in daemon.status()["queues"]} == wanted)
    other = jobs("elsewhere")
    job = other.add()
    # A preset is a set of keys, not a copy: what changes there changes its queues and no others.
    before = daemon.worker_pids("mail")
    daemon.write(text.replace("workers = 2", "workers = 1"))
    steps = {step["queue"]: step["action"] for step in daemon.call("plan")["steps"]}
    assert steps == {"thumbs": "in place", "mail": "keep", "mail-big": "in place"}
    daemon.reload()
    wait_until(lambda: [len(daemon.worker_pids(name)) for name in ("thumbs", "mail", "mail-big")] == [1, 1, 1])
    assert daemon.worker_pids("mail") == before
    # The choice of queues is a matter of the file, too, and reloads.
    daemon.reload(text.replace('"mail*"', '"else*"'))
    assert other.result(job)
    wait_until(lambda: {queue["name"] for queue in daemon.status()["queues"]} == {"thumbs", "elsewhere"})
