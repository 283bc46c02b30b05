from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jobd.daemon.incarnation import IncarnationRecord
from jobd.daemon.state_dir import RECORD_NAME, StateDir


def ids_in(folder: Path) -> list[str]:
    return [entry["id"] for entry in json.loads((folder / RECORD_NAME).read_text())["incarnations"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def record(folder: Path) -> IncarnationRecord:
    state = StateDir(folder)
    state.acquire()
    return IncarnationRecord(state, "a" * 12)


def test_what_runs_is_on_disk_also_where_the_folder_was_removed_a_moment_ago(
    folder: Path, record: IncarnationRecord
) -> None:
    shutil.rmtree(folder)
    record.runs([])
    assert ids_in(folder) == ["a" * 12]
    shutil.rmtree(folder)
    record.finished()
    assert ids_in(folder) == []


def test_a_record_that_is_another_daemons_by_now_is_left_as_it_is(
    folder: Path, record: IncarnationRecord, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(folder)
    other = StateDir(folder)
    other.acquire()
    IncarnationRecord(other, "b" * 12).runs([])
    record.runs([])
    record.finished()
    assert ids_in(folder) == ["b" * 12]
    assert "record of this incarnation cannot be written" in caplog.text
    other.release()
