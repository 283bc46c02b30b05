"""`[daemon] watch` and `run --dev`: reloads that nobody orders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess
from tests.support.waiting import wait_until

HANDLER = "def run(job):\n    return {!r}\n"
QUEUE = '[queues.a]\nhandler = "watched:run"\n'


@pytest.fixture
def code(short_tmp: Path) -> Path:
    folder = short_tmp / "code"
    folder.mkdir()
    (folder / "watched.py").write_text(HANDLER.format("one"))
    return folder


def _queue(code: Path, watch: str, more: str = "") -> str:
    return f'watch = "{watch}"\n{QUEUE}path = ["{code}"]\n{more}'


def _rewrite(file: Path, text: str) -> None:
    """Write as an editor does: emptied, written in two pieces, synced, and its time set once more."""
    with file.open("w") as opened:
        opened.flush()
        opened.write(text[:5])
        opened.flush()
        opened.write(text[5:])
    os.utime(file)


def _is_through(daemon: DaemonProcess, generation: int) -> bool:
    """Whether this generation is in force and the reload over: until then old workers may still take a job."""
    status = daemon.status()
    return (status["generation"], status["state"]) == (generation, "ready")


def test_watch_config_applies_an_edit_once_and_a_mistake_changes_nothing(make, code):
    daemon = make(_queue(code, "config"))
    daemon.write(_queue(code, "config", "concurrency = 3\n"))
    wait_until(lambda: daemon.queue("a")["concurrency"] == 3, 10)
    daemon.write(_queue(code, "config", "concurrency = nonsense\n"))
    wait_until(lambda: daemon.logged("not reloaded"), 10)
    assert (daemon.status()["generation"], daemon.queue("a")["concurrency"]) == (2, 3)
    (daemon.folder / "jobd.d").mkdir()
    daemon.write(_queue(code, "config", "concurrency = 3\n"))
    (daemon.folder / "jobd.d" / "10.toml").write_text("[queues.a]\nconcurrency = 5\n")
    wait_until(lambda: daemon.queue("a")["concurrency"] == 5, 10)
    _rewrite(code / "watched.py", HANDLER.format("two"))
    wait_until(lambda: daemon.status()["code"]["changed_on_disk"], 10)
    assert not [line for line in daemon.logged("reload begins") if line.get("code")]


def test_watch_code_rolls_onto_new_code_once_an_edit_and_again_when_a_broken_one_is_mended(make, jobs, code):
    daemon = make(_queue(code, "code"))
    queue = jobs("a")
    assert queue.result(queue.add()) == "one"
    _rewrite(code / "watched.py", HANDLER.format("two"))
    wait_until(lambda: _is_through(daemon, 2), 10)
    assert queue.result(queue.add()) == "two"
    _rewrite(code / "watched.py", "import watched_helper\n" + HANDLER.format("three"))
    wait_until(lambda: daemon.logged("not reloaded"), 10)
    assert queue.result(queue.add()) == "two"
    (code / "watched_helper.py").write_text("")
    wait_until(lambda: _is_through(daemon, 3), 10)
    assert queue.result(queue.add()) == "three"
    assert len(daemon.logged("reload begins")) == 3


def test_a_volume_whose_content_is_swapped_is_one_reload(make, code, short_tmp):
    """As Kubernetes does with a ConfigMap: jobd.toml -> ..data/jobd.toml, ..data -> a folder of this version."""
    daemon = make(_queue(code, "config"), ready=False)
    text = daemon.config.read_text()
    volume = short_tmp / "volume"
    for number in ("1", "2"):
        (volume / f"..{number}").mkdir(parents=True)
        (volume / f"..{number}" / "jobd.toml").write_text(f"{text}concurrency = {number}\n")
    (volume / "..data").symlink_to("..1")
    (volume / "jobd.toml").symlink_to("..data/jobd.toml")
    daemon.config = volume / "jobd.toml"
    daemon.start_ready()
    (volume / "..fresh").symlink_to("..2")
    (volume / "..fresh").replace(volume / "..data")
    wait_until(lambda: daemon.queue("a")["concurrency"] == 2, 10)
    assert len(daemon.logged("reload begins")) == 1


def test_run_dev_watches_the_code_logs_as_text_and_does_not_wait_at_the_end(make, jobs, code):
    slow = "import time\ndef run(job):\n    time.sleep(job.data.get('s', 0))\n    return {!r}\n"
    (code / "watched.py").write_text(slow.format("one"))
    daemon = make(f'{QUEUE}path = ["{code}"]\n', args=("--dev",))
    queue = jobs("a")
    assert queue.result(queue.add()) == "one"
    (code / "watched.py").write_text(slow.format("two"))
    wait_until(lambda: _is_through(daemon, 2), 10)
    assert queue.result(queue.add()) == "two"
    wrong = queue.add({"s": "soon"})
    queue.wait_state(wrong, "failed")
    shown = [f"job {wrong}: Traceback (most", f'{code}/watched.py", line 3, in run', f"job {wrong}: TypeError: "]
    wait_until(lambda: all(part in daemon.log.read_text() for part in shown), 10, what="its traceback is in the log")
    long = queue.add({"s": 1000})
    queue.wait_state(long, "active")
    assert daemon.stop() == 0
    assert queue.state(long) == "waiting"
    assert not [line for line in daemon.log.read_text().splitlines() if line.startswith("{")]
