"""Many workers of one daemon: files enough for all, every end seen."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.support.waiting import wait_until

WORKERS = 60


@pytest.fixture
def few_files() -> Iterator[int]:
    """The soft limit of open files is too low for the workers, as 1024 is for 300."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        yield 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sixty_workers_start_under_a_low_soft_limit_keep_it_themselves_and_each_exit_is_known(few_files, make, jobs):
    daemon = make(f'[queues.a]\nhandler = "daemon_handlers:open_files"\nworkers = {WORKERS}\n', ready=False)
    daemon.start_ready(60)
    wait_until(lambda: len(daemon.worker_pids("a")) == WORKERS, 60)
    a = jobs("a")
    assert a.result(a.add({}))[0] == few_files
    assert daemon.stop(60) == 0
    exits = daemon.logged("worker exited")
    assert [(line["exit"], line["why"]) for line in exits] == [("exit code 0", "asked")] * WORKERS
