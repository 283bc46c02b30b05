"""The life of templates and workers: loading, commands, signals, deaths."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobd.client import Queue
from jobd.protocol import worker as messages
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, numbers


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    made = Queue("mail", url=redis_server.url, prefix=prefix)
    yield made
    made.close()


@pytest.fixture
def parent(redis_server: RedisServer, prefix: str) -> Iterator[WorkerParent]:
    with WorkerParent(redis_server.url, prefix) as made:
        yield made


def test_template_reports_modes_errors_and_files(parent: WorkerParent) -> None:
    loaded = parent.load("basic:echo", "basic:fail", "basic:ech", "nowhere:x", extras=["shop:setup", "shop:setupp"])
    by_path = {report.path: report for report in loaded.handlers}
    assert (by_path["basic:echo"].mode, by_path["basic:fail"].mode) == ("async", "thread")
    assert (by_path["basic:ech"].kind, by_path["basic:ech"].suggestion) == ("attribute", "echo")
    assert (by_path["nowhere:x"].kind, by_path["nowhere:x"].searched) == ("import", parent.path)
    assert (by_path["shop:setup"].ok, by_path["shop:setupp"].kind) == (True, "attribute")
    assert {Path(name).name for name in loaded.files} == {"basic.py", "shop.py"}
    assert loaded.unsafe is None


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "thread"),
        ("import socket\nkept = socket.socket()", "connection"),
    ],
)
def test_module_that_cannot_be_forked_is_named(
    redis_server: RedisServer, prefix: str, tmp_path: Path, source: str, what: str
) -> None:
    (tmp_path / "unsafe_app.py").write_text(f"{source}\ndef run(job): pass\n")
    with WorkerParent(redis_server.url, prefix, path=[str(tmp_path)]) as parent:
        loaded = parent.load("unsafe_app:run")
        assert loaded.unsafe is not None
        assert "unsafe_app" in loaded.unsafe
        assert what in loaded.unsafe


def test_environment_of_the_application_is_set_before_its_import(
    redis_server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "envapp.py").write_text("import os\nrun = {'yes': print}[os.environ['SHOP']]\n")
    with WorkerParent(redis_server.url, prefix, path=[str(tmp_path)]) as parent:
        assert parent.load("envapp:run", env={"SHOP": "yes"}).handlers[0].ok


def test_workers_forked_from_a_loaded_template_do_not_import_the_application_again(
    redis_server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    imports = tmp_path / "imports"
    (tmp_path / "once_app.py").write_text(
        f"import os\nwith open({str(imports)!r}, 'a') as file:\n    print(os.getpid(), file=file)\ndef run(job): pass\n"
    )
    with WorkerParent(redis_server.url, prefix, path=[str(tmp_path)]) as parent:
        parent.load("once_app:run")
        pids = {parent.start("mail", numbers("once_app:run")).pid for _ in range(3)}
        (importer,) = imports.read_text().split()
        assert int(importer) not in pids


def test_handler_that_does_not_import_ends_the_worker_with_its_reason(parent: WorkerParent) -> None:
    parent.load()
    worker = parent.fork()
    worker.send(parent.start_message(worker, "mail", numbers("basic:ech")))
    failed = worker.expect(messages.StartFailed)
    assert (failed.stage, failed.handler) == ("import", "basic:ech")
    assert os.waitstatus_to_exitcode(parent.exited().status) == os.EX_CONFIG


def test_setup_that_fails_ends_the_worker_with_its_reason(parent: WorkerParent) -> None:
    worker = parent.fork()
    worker.send(parent.start_message(worker, "mail", numbers("basic:echo"), setup="shop:setup_fails"))
    failed = worker.expect(messages.StartFailed)
    assert (failed.stage, failed.reason.splitlines()[0]) == ("setup", "RuntimeError: no database")
    assert os.waitstatus_to_exitcode(parent.exited().status) == 1


def test_a_worker_takes_nothing_until_resume(parent: WorkerParent, queue: Queue) -> None:
    queue.add("a", {})
    worker = parent.start("mail", numbers("basic:echo"), takes=False)
    worker.send(messages.DumpStacks())
    worker.expect(messages.Stacks)
    assert queue.counts()["waiting"] == 1
    worker.send(messages.Resume())
    wait_until(lambda: queue.counts()["completed"] == 1)


def test_worker_leads_a_session_with_empty_stdin_and_prints_into_its_pipe(parent: WorkerParent, queue: Queue) -> None:
    job = queue.add("a", {})
    worker = parent.start("mail", numbers("basic:say"))
    wait_until(lambda: queue.counts()["completed"] == 1)
    assert os.getsid(worker.pid) == worker.pid
    assert os.readlink(f"/proc/{worker.pid}/fd/0") == "/dev/null"
    wait_until(lambda: worker.printed() == f"said {job.id}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_group_signal_does_not_disturb_a_worker_nor_is_it_ignored_in_its_children(
    parent: WorkerParent, queue: Queue, number: signal.Signals
) -> None:
    queue.add("a", {"seconds": 0.3})
    worker = parent.start("mail", numbers("basic:wait"))
    wait_until(lambda: worker.board.busy == 1)
    os.kill(worker.pid, number)
    wait_until(lambda: queue.counts()["completed"] == 1)
    ignored = int(next(line for line in _status(worker.pid) if line.startswith("SigIgn")).split()[1], 16)
    assert not ignored & (1 << (number - 1))


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_drain_finishes_what_runs_and_exits_0(parent: WorkerParent, queue: Queue) -> None:
    queue.add("a", {"seconds": 0.4})
    worker = parent.start("mail", numbers("basic:wait"))
    wait_until(lambda: worker.board.busy == 1)
    queue.add("b", {"seconds": 0})
    worker.send(messages.Drain())
    worker.wait_gone()
    assert parent.exited().status == 0
    assert (queue.counts()["completed"], queue.counts()["waiting"]) == (1, 1)


def test_stop_cancels_what_runs_and_leaves_it_to_be_handed_back(
    parent: WorkerParent, queue: Queue, r: redis.Redis, prefix: str
) -> None:
    job = queue.add("a", {})
    worker = parent.start("mail", numbers("rough:never"))
    wait_until(lambda: worker.board.busy == 1)
    worker.send(messages.Stop(60_000))
    worker.wait_gone(20)  # because it is through, and not because its patience is over
    assert parent.exited().status == 0
    assert r.get(f"{prefix}:mail:{job.id}:lock") == f"{worker.token_prefix}1"
    assert r.hget(f"{prefix}:mail:{job.id}", "atm") is None


def test_stop_does_not_wait_for_a_stubborn_thread(parent: WorkerParent, queue: Queue) -> None:
    queue.add("a", {"seconds": 20})
    worker = parent.start("mail", numbers("rough:stubborn"))
    wait_until(lambda: worker.board.busy == 1)
    began = time.monotonic()
    worker.send(messages.Stop(300))
    worker.wait_gone()
    assert time.monotonic() - began < 2


def test_concurrency_changes_in_place_up_and_down(parent: WorkerParent, queue: Queue) -> None:
    queue.add_many([("a", {"seconds": 0.3})] * 12)
    worker = parent.start("mail", numbers("basic:wait"))
    wait_until(lambda: worker.board.busy == 1)
    worker.send(messages.Settings(numbers("basic:wait", concurrency=5)))
    wait_until(lambda: worker.board.busy == 5)
    worker.send(messages.Settings(numbers("basic:wait", concurrency=2)))
    wait_until(lambda: worker.board.busy == 2)
    wait_until(lambda: worker.board.jobs_done == 12)


@pytest.mark.parametrize("handler", ["basic:wait", "basic:wait_in_thread"])
def test_cancelled_job_fails_for_good(parent: WorkerParent, queue: Queue, handler: str) -> None:
    job = queue.add("a", {"seconds": 30}, attempts=5)
    worker = parent.start("mail", numbers(handler))
    (view,) = wait_until(worker.board.slots)
    worker.send(messages.Cancel(view.slot, "another", 1, "cancelled"))
    worker.send(messages.Cancel(view.slot, job.id, 1, "cancelled"))
    wait_until(lambda: queue.counts()["failed"] == 1)


def test_job_that_lost_its_lock_is_interrupted_and_nothing_is_sent(
    parent: WorkerParent, queue: Queue, r: redis.Redis, prefix: str
) -> None:
    job = queue.add("a", {"seconds": 30})
    worker = parent.start("mail", numbers("basic:wait", kill_after_ms=5_000))
    (view,) = wait_until(worker.board.slots)
    worker.send(messages.Cancel(view.slot, job.id, 1, "lock-lost"))
    wait_until(lambda: worker.board.slots() == [])
    assert r.lrange(f"{prefix}:mail:active", 0, -1) == [job.id]


def test_stacks_name_the_jobs(parent: WorkerParent, queue: Queue) -> None:
    job = queue.add("welcome", {"seconds": 30})
    worker = parent.start("mail", numbers("basic:wait_in_thread"))
    wait_until(worker.board.slots)
    worker.send(messages.DumpStacks())
    text = worker.expect(messages.Stacks).text
    assert f"runs job {job.id} (welcome)" in text
    assert "wait_in_thread" in text


def test_killed_worker_leaves_a_readable_board_and_its_status(parent: WorkerParent, queue: Queue) -> None:
    job = queue.add("boom", {})
    worker = parent.start("mail", numbers("rough:die"))
    worker.wait_gone()
    exited = parent.exited()
    assert (exited.worker, exited.pid) == (worker.name, worker.pid)
    assert os.waitstatus_to_exitcode(exited.status) == -signal.SIGKILL
    (view,) = worker.board.slots()
    assert (view.job_id, view.name, view.ats) == (job.id, "boom", 1)
    assert view.started_at > 0


def test_workers_die_with_their_template(parent: WorkerParent) -> None:
    workers = [parent.start("mail", numbers("basic:echo")) for _ in range(2)]
    parent.kill_template()
    for worker in workers:
        worker.wait_gone(2)


def test_worker_ends_when_its_daemon_is_gone(parent: WorkerParent) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    worker.sock.shutdown(socket.SHUT_RDWR)
    worker.wait_gone(2)


def test_message_that_is_none_ends_the_worker(parent: WorkerParent) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    worker.sock.send(b"J" + json.dumps({"type": "Nonsense"}).encode())
    worker.wait_gone(2)


def test_template_ends_when_its_daemon_is_gone(parent: WorkerParent) -> None:
    parent.load("basic:echo")
    worker = parent.start("mail", numbers("basic:echo"))
    parent._sock.shutdown(socket.SHUT_RDWR)
    worker.wait_gone(5)
    assert parent._process is not None
    parent._process.wait(5)


def test_forks_leak_no_descriptor(parent: WorkerParent) -> None:
    parent.load("basic:echo")
    before = os.listdir(f"/proc/{parent.template_pid}/fd")
    for _ in range(10):
        worker = parent.start("mail", numbers("basic:echo"))
        worker.send(messages.Drain())
        worker.wait_gone()
        parent.exited()
    assert len(os.listdir(f"/proc/{parent.template_pid}/fd")) == len(before)
    worker = parent.start("mail", numbers("basic:echo"))
    targets = [os.readlink(f"/proc/{worker.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{worker.pid}/fd")]
    # Its own end to the daemon, the loop's pair of wake-up sockets, two connections.
    assert len([target for target in targets if target.startswith("socket:")]) <= 5


def test_large_message_reaches_a_worker(parent: WorkerParent, queue: Queue) -> None:
    queue.add("a", {"x": 1})
    many = {f"name{n}": numbers("basic:echo").default for n in range(2_000)}
    parent.start("mail", numbers("basic:echo", jobs=many))
    wait_until(lambda: queue.counts()["completed"] == 1)


def test_process_is_named_after_its_queue_and_number(parent: WorkerParent) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    assert Path(f"/proc/{worker.pid}/comm").read_text() == "mail 0\n"
