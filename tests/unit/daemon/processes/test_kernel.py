"""What the kernel is asked about this process."""

from __future__ import annotations

import resource

import pytest

from jobd.daemon.processes.kernel import OomKills, OpenFiles, group_limit, kills_file


class Limits:
    """The limit of open files, without touching this process'."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def get(self, which: int) -> tuple[int, int]:
        return self.now

    def set(self, which: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "expected"),
    [
        (1024, 20_000, 3000, 3000),
        (1024, 2000, 3000, 2000),
        (1024, resource.RLIM_INFINITY, 3000, 3000),
        (4096, 20_000, 3000, 4096),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 3000, 3000),
    ],
)
def test_the_soft_limit_is_raised_to_what_is_needed_as_far_as_the_hard_one_allows(
    monkeypatch, soft, hard, needed, expected
):
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    files = OpenFiles()
    assert files.ensure(needed) == expected
    assert (files.given, limits.now[1]) == ((soft, hard), hard)
    if soft != resource.RLIM_INFINITY:
        assert limits.now[0] == expected


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ({"a/b": "500", "a": "max"}, 500),
        ({"a/b": "500", "a": "300"}, 300),
        ({"a/b": "max", "a": "max"}, None),
        ({}, None),
        ({"": "100"}, 100),
        ({"a/b": "nonsense"}, None),
    ],
)
def test_the_least_limit_of_the_groups_above_us_holds(tmp_path, written, limit):
    (tmp_path / "own").write_text("4:memory:/x\n0::/a/b\n")
    (tmp_path / "mount/a/b").mkdir(parents=True)
    for folder, text in written.items():
        (tmp_path / "mount" / folder / "memory.max").write_text(f"{text}\n")
    assert group_limit("memory.max", of=tmp_path / "own", mount=tmp_path / "mount") == limit


def test_without_a_group_there_is_no_limit(tmp_path):
    assert group_limit("memory.max", of=tmp_path / "none", mount=tmp_path) is None
    (tmp_path / "v1").write_text("4:memory:/x\n")
    assert group_limit("memory.max", of=tmp_path / "v1", mount=tmp_path) is None


@pytest.mark.parametrize(
    ("own", "there"),
    [
        ("4:memory:/x\n0::/a\n", "a/memory.events"),
        ("4:memory:/x\n0::/\n", "memory/x/memory.oom_control"),
        ("11:memory:/docker/12ab\n", "memory/memory.oom_control"),
    ],
)
def test_kills_for_memory_are_counted_by_either_kind_of_control_group(tmp_path, own, there):
    (tmp_path / "own").write_text(own)
    file = tmp_path / "mount" / there
    file.parent.mkdir(parents=True)
    file.write_text("low 0\noom 3\noom_kill 2\n")
    assert kills_file(of=tmp_path / "own", mount=tmp_path / "mount") == file
    kills = OomKills(file)
    assert not kills.rose()
    file.write_text("low 0\noom 4\noom_kill 3\n")
    assert [kills.rose(), kills.rose()] == [True, False]


def test_where_no_group_counts_them_none_is_seen(tmp_path):
    assert kills_file(of=tmp_path / "none", mount=tmp_path) is None
    (tmp_path / "own").write_text("4:memory:/x\n0::/a\n")
    assert kills_file(of=tmp_path / "own", mount=tmp_path) is None
