"""Which reload a look at the disk asks for, and which folders are watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.config.tables import Watch as Mode
from jobd.daemon.watch import Policy, folders_of

OLD = (("jobd.toml", 1, 10, 5),)
NEW = (("jobd.toml", 2, 10, 5),)


@pytest.mark.parametrize(
    ("mode", "files", "code", "decided"),
    [
        (Mode.OFF, OLD, OLD, None),
        (Mode.CONFIG, None, None, None),
        (Mode.CONFIG, OLD, None, False),
        (Mode.CONFIG, None, OLD, None),
        (Mode.CODE, None, None, None),
        (Mode.CODE, OLD, None, False),
        (Mode.CODE, None, OLD, True),
        (Mode.CODE, OLD, OLD, True),
    ],
)
def test_what_differs_decides(mode, files, code, decided):
    assert Policy().decide(mode, files, code) is decided


def test_what_was_refused_is_tried_again_only_when_it_has_changed_again():
    policy = Policy()
    assert policy.decide(Mode.CODE, None, OLD) is True
    assert policy.decide(Mode.CODE, None, OLD) is None
    assert policy.decide(Mode.CODE, None, NEW) is True
    assert policy.decide(Mode.CODE, OLD, NEW) is True
    assert policy.decide(Mode.CONFIG, OLD, NEW) is False


def test_a_file_behind_symlinks_is_watched_in_its_folder_and_where_the_links_lie(tmp_path: Path):
    (tmp_path / "releases" / "one" / "shop").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/one")
    file = tmp_path / "current" / "shop" / "mail.py"
    assert folders_of([file]) == {file.parent, tmp_path}


def test_a_folder_that_is_not_there_is_left_out(tmp_path: Path):
    assert folders_of([tmp_path / "jobd.d" / "any", tmp_path / "jobd.toml"]) == {tmp_path}
