"""The Dockerfile, built and run without Docker: as user 10001, as PID 1, on a read-only root with state in memory."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.client import Queue
from tests.support.container import Container, Image, need_containers
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.wheels import clone, system_python

pytestmark = pytest.mark.systemd
_REDIS_THERE = "unix:///tmp/redis/r.sock"
_WRITABLE = ("/run/jobd", "/var/lib/jobd")

_HANDLERS = """
import os, subprocess, time

def who(job):
    return [os.getuid(), os.getcwd(), os.environ.get("HOME", "")]

def orphans(job):
    for _ in range(5):
        subprocess.run(["sh", "-c", "setsid sleep 0.2 &"], check=True)
    return "left"

def until_stopped(job):
    while job.data["for_ever"] or not job.stopping:
        time.sleep(0.02)
    return "stopped in time"
"""
_FILE = """
[daemon]
grace = "2s"
[queues.who]
handler = "handlers:who"
[queues.orphans]
handler = "handlers:orphans"
[queues.long]
handler = "handlers:until_stopped"
concurrency = 2
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, with the application of the Dockerfile's own comment mounted at /app."""
    need_containers()
    python = system_python()
    with tempfile.TemporaryDirectory(prefix="jobd-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = clone(folder / "clone")
        image = Image(folder / "image", source, python=python)
        try:
            image.build()
            yield image
        finally:
            image.stop()


class _App:
    def __init__(self, image: Image, folder: Path, redis_server: RedisServer, prefix: str) -> None:
        self.image, self.folder, self.prefix = image, folder, prefix
        self.url = redis_server.url
        self.log = folder / "log"
        (folder / "app").mkdir()
        (folder / "app" / "handlers.py").write_text(_HANDLERS)
        self.write(_FILE)

    def write(self, text: str) -> None:
        (self.folder / "app" / "jobd.toml").write_text(
            f'[redis]\nurl = "{_REDIS_THERE}"\nprefix = "{self.prefix}"\n{text}'
        )

    def start(self) -> Container:
        # The image's user is nobody here.
        socket = Path(self.url.removeprefix("unix://").partition("?")[0])
        socket.parent.chmod(0o755)
        socket.chmod(0o666)
        binds = {"/app": self.folder / "app", "/tmp/redis": socket.parent}
        return self.image.run(self.log, env={}, binds=binds, writable=_WRITABLE)

    def queue(self, name: str) -> Queue:
        return Queue(name, url=self.url, prefix=self.prefix)


@pytest.fixture
def app(image: Image, short_tmp: Path, redis_server: RedisServer, prefix: str) -> _App:
    short_tmp.chmod(0o755)
    return _App(image, short_tmp, redis_server, prefix)


@pytest.fixture
def running(app: _App) -> Iterator[Container]:
    container = app.start()
    try:
        wait_until(container.healthy, 60, what="its health check passes", every=0.2)
        wait_until(
            lambda: container.execute(["jobd", "health", "--ready"]).returncode == 0, 30, what="ready", every=0.2
        )
        yield container
    except AssertionError:
        print(app.log.read_text())
        raise
    finally:
        container.destroy()


def test_the_image_runs_jobs_as_nobody_on_a_root_that_cannot_be_written(app: _App, running: Container) -> None:
    with app.queue("who") as queue:
        assert queue.add("x", {}).wait(timeout=20)[:2] == [10001, "/app"]
    assert json.loads(running.execute(["jobd", "status", "--json"]).stdout)["pid"] == 1
    assert running.execute(["touch", "/opt/jobd/x"]).returncode != 0
    assert running.execute(["touch", "/var/lib/jobd/x"]).returncode == 0
    assert running.execute(["jobd", "version"]).stdout.startswith("jobd ")


def test_as_pid_1_it_reaps_what_handlers_leave_behind(app: _App, running: Container) -> None:
    with app.queue("orphans") as queue:
        assert queue.add("x", {}).wait(timeout=20) == "left"
    wait_until(
        lambda: not [line for line in running.processes() if line.startswith("Z") or "sleep" in line],
        30, what="no orphan and no zombie is left", every=0.2,
    )  # fmt: skip


def test_the_stop_signal_drains_and_the_exit_code_is_0(app: _App, running: Container) -> None:
    with app.queue("long") as queue:
        ends, goes_on = queue.add("x", {"for_ever": False}), queue.add("x", {"for_ever": True})
        wait_until(lambda: queue.counts()["active"] == 2, 20, what="both run")
        running.stop()
        assert running.wait(30) == 0, app.log.read_text()[-2000:]
        assert ends.wait(timeout=1) == "stopped in time"
        assert queue.counts()["waiting"] == 1
        assert queue.get(goes_on.id).attempts_made == 0


def test_a_wrong_file_ends_it_with_78(app: _App) -> None:
    app.write(_FILE.replace("concurrency", "concurency"))
    container = app.start()
    try:
        assert container.wait(60) == 78, app.log.read_text()
        assert "did you mean `concurrency`?" in app.log.read_text()
    finally:
        container.destroy()


def test_a_stop_while_it_starts_ends_it_too(app: _App) -> None:
    (app.folder / "app" / "handlers.py").write_text(f"import time\ntime.sleep(5)\n{_HANDLERS}")
    container = app.start()
    try:
        wait_until(lambda: _handles_term(container), 30, what="TERM is handled")
        container.stop()
        assert container.wait(20) == 0, app.log.read_text()[-2000:]
    finally:
        container.destroy()


def _handles_term(container: Container) -> bool:
    status = Path(f"/proc/{container.pid}/status").read_text().splitlines()
    caught = next(line for line in status if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
