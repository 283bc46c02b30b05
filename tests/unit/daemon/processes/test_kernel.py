"""What the kernel is asked about this process."""

from __future__ import annotations

import resource

import pytest

from jobd.daemon.processes.kernel import OpenFiles


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
