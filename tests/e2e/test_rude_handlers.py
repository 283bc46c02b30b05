"""Handlers that do to their worker what no handler should: the job ends one way, and the jobs after it run as ever."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.daemon_process import DaemonProcess, alive
from tests.support.jobs import Jobs
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

COMPLETES = [
    "closes_output", "closes_stdout", "leaves_threads", "blocks_signals", "ends_group", "forks_and_returns",
]  # fmt: skip
"""Their job completes, and so does what runs behind it in the same worker."""

FAILS = {
    "exits": "SystemExit: 3",
    "exits_async": "SystemExit: 3",
    "interrupts": "KeyboardInterrupt",
    "interrupts_async": "KeyboardInterrupt",
}
"""An attempt that failed, with this reason; the worker lives on."""

DIES = {
    "closes_files": "worker died: exit code 70",
    "stops_loop": "worker died: exit code 70",
    "cancels_everything": "worker died: exit code 70",
    "aborts": "worker died: signal 6 (SIGABRT)",
    "alarms": "worker died: signal 14 (SIGALRM)",
}
"""The worker ends; the job fails with this after max_crashes + 1 runs."""

if sys.version_info < (3, 12):
    # Later ones raise RecursionError before the C stack is full.
    DIES["recurses"] = "worker died: signal 11 (SIGSEGV)"

QUEUES = [*COMPLETES, *FAILS, *DIES, "stops_template", "changes_directory", "removes_folder"]
MORE = "floods floods_one_line"


@pytest.fixture(scope="module")
def rude(redis_server: RedisServer) -> Iterator[DaemonProcess]:
    """One daemon for all of them, each with a queue of its own."""
    text = '[defaults]\nmax_crashes = 1\nlock_duration = "5s"\nbreaker = false\n' + "".join(
        f'[queues.{name}.jobs]\nrude = "rude_handlers:{name}"\npolite = "rude_handlers:polite"\n'
        for name in [*QUEUES, *MORE.split()]
    )
    with (
        tempfile.TemporaryDirectory(prefix="jobd-") as folder,
        DaemonProcess(Path(folder) / "d", redis_server.url, text, prefix=f"rude{os.getpid()}") as daemon,
    ):
        yield daemon.start_ready(60)


@pytest.fixture
def jobs_of(rude: DaemonProcess, r: redis.Redis) -> Iterator[Callable[[str], Jobs]]:
    """What opens the queue of a handler."""
    opened: list[Jobs] = []

    def look(name: str) -> Jobs:
        opened.append(Jobs(r, rude.redis_url, rude.prefix, name))
        return opened[-1]

    yield look
    for one in opened:
        one.close()


def prints_again(daemon: DaemonProcess, name: str, at: Jobs) -> str:
    """Return the folder that a polite job says it runs in, once its line is in the daemon's log."""
    folders = []

    def printed() -> bool:
        polite = at.add(name="polite")
        folders.append(at.result(polite, 20))
        return any((line["queue"], line["line"]) == (name, f"polite {polite}") for line in daemon.logged("output"))

    # Several, until what a flood before it has used up is there again.
    wait_until(printed, 20, every=0.1, what="the log has what was printed")
    return str(folders[-1])


@pytest.mark.parametrize("name", COMPLETES)
def test_it_completes_and_the_next_job_prints_in_the_same_worker(rude, jobs_of, name):
    at = jobs_of(name)
    (before,) = rude.worker_pids(name)
    job = at.add(name="rude")
    at.result(job, 20)
    prints_again(rude, name, at)
    assert rude.worker_pids(name) == [before]
    assert at.hash(job)["ats"] == "1"


@pytest.mark.parametrize("name", FAILS)
def test_it_fails_its_attempt_and_the_worker_lives_on(rude, jobs_of, name):
    at = jobs_of(name)
    (before,) = rude.worker_pids(name)
    fields = at.wait_state(at.add(name="rude"), "failed", 20)
    assert (fields["failedReason"], fields["atm"], fields.get("stc")) == (FAILS[name], "1", None)
    prints_again(rude, name, at)
    assert rude.worker_pids(name) == [before]


@pytest.mark.parametrize("name", DIES)
def test_it_takes_its_worker_with_it_and_fails_after_one_more_run(rude, jobs_of, name):
    at = jobs_of(name)
    fields = at.wait_state(at.add(name="rude"), "failed", 30)
    assert fields["failedReason"].splitlines()[0] == DIES[name]
    assert (fields["ats"], fields["stc"]) == ("2", "2")
    prints_again(rude, name, at)


def test_a_template_that_was_stopped_is_replaced_by_another(rude, jobs_of):
    at = jobs_of("stops_template")
    fields = at.wait_state(at.add(name="rude"), "failed", 60)
    assert (fields["failedReason"].splitlines()[0], fields["ats"]) == ("worker died: signal 9 (SIGKILL)", "2")
    prints_again(rude, "stops_template", at)
    assert rude.logged("template does not answer, another one takes over")


def test_the_folder_of_a_worker_is_a_matter_of_its_handlers_and_a_new_worker_has_the_right_one(rude, jobs_of, tmp_path):
    at = jobs_of("changes_directory")
    at.result(at.add({"to": str(tmp_path)}, name="rude"))
    assert prints_again(rude, "changes_directory", at) == str(tmp_path)
    (before,) = rude.worker_pids("changes_directory")
    rude.call("worker.restart", pid=before)
    wait_until(lambda: not alive(before))
    assert prints_again(rude, "changes_directory", at) == str(rude.folder)


def test_a_worker_whose_folder_is_gone_is_replaced_as_any_other(rude, jobs_of, tmp_path):
    at = jobs_of("removes_folder")
    gone = tmp_path / "gone"
    gone.mkdir()
    at.result(at.add({"to": str(gone)}, name="rude"))
    (before,) = rude.worker_pids("removes_folder")
    rude.call("worker.restart", pid=before)
    wait_until(lambda: not alive(before))
    assert prints_again(rude, "removes_folder", at) == str(rude.folder)


@pytest.mark.parametrize("name", MORE.split())
def test_a_flood_of_output_is_bounded_and_holds_up_nobody(rude, jobs_of, name):
    at = jobs_of(name)
    job, other = at.add({"bytes": 60_000_000}, name="rude"), at.add(name="polite")
    at.result(job, 60)
    at.result(other, 20)
    prints_again(rude, name, at)
    status = rude.call("worker.show", pid=rude.worker_pids(name)[0])
    assert status["worker"]["restarts"] == 0
    # How much of it the log has depends on how long it took; what the daemon holds of it does not.
    peak = next(line for line in Path(f"/proc/{rude.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 150_000


def test_after_all_of_that_a_stop_ends_at_once_and_leaves_nothing(rude):
    below = rude.children()
    assert rude.stop(30) == 0
    wait_until(lambda: not any(alive(pid) for pid in below), 10)
