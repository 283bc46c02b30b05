from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobd.daemon import state_dir as pidfile
from jobd.daemon.state_dir import Incarnation, ProcessMark, ServedQueue, StateDir, mark, start_time, this_incarnation
from jobd.errors import Refused

QUEUE = ServedQueue("redis://:***@h/0", "bull", "email")


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first = StateDir(tmp_path / "state")
    first.acquire()
    with pytest.raises(Refused, match=f"pid {os.getpid()}") as caught:
        StateDir(tmp_path / "state").acquire()
    assert caught.value.exit_code == 1
    first.release()
    second = StateDir(tmp_path / "state")
    second.acquire()
    second.release()


def test_acquire_and_release_twice_are_harmless(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.release()
    state.acquire()
    state.acquire()
    state.release()
    state.release()


def test_a_killed_daemon_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom jobd.daemon.state_dir import StateDir\n"
        "s = StateDir(Path(sys.argv[1])); s.acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=f"pid {other.pid}"):
            StateDir(tmp_path).acquire()
        other.kill()
    state = StateDir(tmp_path)
    state.acquire()
    state.release()


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "a" / "b")
    state.acquire()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    state.release()


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot use the state folder"):
        StateDir(tmp_path / "file").acquire()


def test_an_incarnation_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    own = this_incarnation("k3f9ab12cd34")
    written = Incarnation(own.id, own.boot_id, own.host, (*own.processes, ProcessMark(77, 5)), (QUEUE,))
    state.record([written])
    assert state.previous() == [written]
    assert (tmp_path / "incarnations.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["incarnations.json"]


def test_without_a_record_there_is_no_earlier_incarnation(tmp_path: Path) -> None:
    assert StateDir(tmp_path).previous() == []


def _broken() -> list[bytes]:
    good = {"id": "a", "boot_id": "b", "host": "h", "processes": [], "queues": []}
    entries = [
        {**good, "id": 5},
        {**good, "processes": [{"pid": 0, "start_time": 1}]},
        {**good, "processes": [{"pid": -1, "start_time": 1}]},
        {**good, "processes": [{"pid": True, "start_time": 1}]},
        {**good, "processes": [{"pid": 5}]},
        {**good, "processes": {"pid": 5}},
        {**good, "queues": ["email"]},
        {"id": "a"},
        [],
    ]
    documents = [{"layout": 1, "incarnations": [entry]} for entry in entries]
    texts = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"layout": 99, "incarnations": []}',
        b'{"layout": 1}',
    ]
    return [*texts, *(json.dumps(document).encode() for document in documents)]


@pytest.mark.parametrize("content", _broken())
def test_a_broken_record_is_kept_aside_and_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "incarnations.json").write_bytes(content)
    assert StateDir(tmp_path).previous() == []
    assert (tmp_path / "incarnations.json.broken").read_bytes() == content
    assert not (tmp_path / "incarnations.json").exists()


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDir(tmp_path)
    state.record([this_incarnation("old")])

    def full(_fd: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(pidfile.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        state.record([this_incarnation("new")])
    assert [found.id for found in state.previous()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["incarnations.json"]


def test_survivors_are_the_very_processes_that_still_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        running = mark(child.pid)
        assert running is not None
        reused = ProcessMark(child.pid, running.start_time + 1)
        own, first = mark(os.getpid()), mark(1)
        assert own is not None
        assert first is not None
        earlier = Incarnation("a", pidfile.boot_id(), "h", (running, reused, own, first), ())
        assert earlier.of_this_boot()
        assert earlier.survivors() == [running]
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert start_time(child.pid) is None, "a zombie does not run"
    assert earlier.survivors() == []


def test_another_boot_is_told_apart() -> None:
    assert not Incarnation("a", "another", "h").of_this_boot()


def test_a_name_with_blanks_and_parentheses_does_not_hide_the_start_time(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        assert start_time(child.pid) is not None
        assert abs((start_time(child.pid) or 0) - (start_time(os.getpid()) or 0)) < 100 * 3600
        child.kill()
