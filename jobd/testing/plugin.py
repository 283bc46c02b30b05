"""The pytest plugin, loaded by itself: the fixtures `jobd_run`, `jobd_queues` and `jobd_daemon`.

Every test run of an application loads this module, so it imports pytest and nothing else before a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobd.testing import Done, FakeQueue, RealDaemon


@pytest.fixture
def jobd_run() -> Callable[..., Done]:
    """`jobd.testing.run`: one attempt of one job, as a worker would run it."""
    from jobd.testing import run

    return run


@pytest.fixture
def jobd_queues() -> Iterator[FakeQueue]:
    """A FakeQueue, patched for this test: producers write to memory, `drain()` runs the handlers of jobd.toml."""
    from jobd.testing import FakeQueue

    with FakeQueue.patch() as added:
        yield added


@pytest.fixture
def jobd_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], RealDaemon]]:
    """`jobd_daemon(toml)`: a real daemon that is ready, stopped after the test. Needs the extras daemon and embedded.

    A `Queue("email")` of the test's own process finds the newest one, too.
    """
    from jobd.testing import RealDaemon

    daemons: list[Any] = []

    def start(toml: str) -> RealDaemon:
        folder = tmp_path / f"jobd-{len(daemons)}"
        folder.mkdir()
        daemon = RealDaemon(toml, folder)
        daemons.append(daemon)
        daemon.start()
        for name, value in daemon.env.items():
            monkeypatch.setenv(name, value)
        return daemon

    yield start
    for daemon in daemons:
        daemon.stop()
