"""Files of the application that are named like modules of Python or jobd, and what it does to its own streams."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobd.client import Queue
from tests.support.daemon_process import ROOT, DaemonProcess, Failed
from tests.support.redis_server import RedisServer

JOBD = Path(sys.executable).with_name("jobd")
HANDLERS = """
def plain(job):
    job.progress(1)
    job.log("a line")
    job.add("late", "short", {})
    return job.data

async def awaited(job):
    job.progress(1)
    await job.add("late", "short", {})
    return job.data
"""

NEEDED = ("email", "queue", "types", "redis", "json", "asyncio", "logging", "signal", "hiredis", "jobd_handlers")


def write_app(folder: Path, url: str, handlers: str = HANDLERS, more: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "work.py").write_text(handlers)
    (folder / "jobd.toml").write_text(
        f'[redis]\nurl = "{url}"\n[queues]\none = "work:plain"\ntwo = "work:awaited"\n{more}'
    )


def jobd(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
    return subprocess.run(
        [JOBD, *args], cwd=folder, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def runs_both(folder: Path, url: str) -> str:
    """Run one job of each handler with `jobd run`; return what the daemon printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
    log = folder / "daemon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [JOBD, "run"], cwd=folder, env={**env, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        with Queue("one", url=url) as one, Queue("two", url=url) as two:
            try:
                assert [one.add("n", [1]).wait(30), two.add("n", [2]).wait(30)] == [[1], [2]]
            except Exception as error:
                raise AssertionError(f"{error!r}\n{log.read_text()[-6000:]}") from error
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()[-6000:]
    return log.read_text()


class TestFilesNamedLikeModules:
    def test_what_python_and_jobd_need_cannot_be_hidden(self, short_tmp: Path, own_redis: RedisServer) -> None:
        app = short_tmp / "app"
        write_app(app, own_redis.url)
        for name in NEEDED:
            (app / f"{name}.py").write_text("raise RuntimeError(f'{__name__} is hidden by the application')\n")
        checked = jobd(app, "check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "hidden" not in runs_both(app, own_redis.url)

    def test_no_module_of_the_standard_library_is_looked_for_after_the_application_is_there(
        self, short_tmp: Path, own_redis: RedisServer
    ) -> None:
        app = short_tmp / "app"
        write_app(app, own_redis.url)
        for name in sys.stdlib_module_names:
            (app / f"{name}.py").write_text("raise RuntimeError(f'{__name__} is hidden by the application')\n")
        assert "hidden" not in runs_both(app, own_redis.url)

    def test_handler_behind_such_a_name_is_told_with_the_file_to_rename(self, short_tmp: Path) -> None:
        app = short_tmp / "app"
        app.mkdir()
        (app / "email.py").write_text("def send(job): pass\n")
        (app / "types.py").write_text("Thing = 1\n")
        (app / "calendar.py").write_text("def mark(job): pass\n")
        (app / "work.py").write_text("from types import Thing\ndef run(job): pass\n")
        (app / "cookies.py").write_text("import http.cookiejar\ndef run(job): pass\n")
        (app / "jobd.toml").write_text(
            '[redis]\nurl = "redis://h"\n[queues]\na = "email:send"\nb = "work:run"\nc = "cookies:run"\n'
        )
        checked = jobd(app, "check")
        shown = checked.stdout + checked.stderr
        assert checked.returncode == 78, shown
        assert f"so {app}/email.py cannot be imported: rename it" in shown
        assert f"so {app}/types.py cannot be imported: rename it" in shown
        assert "cookies:run" not in shown or f"{app}/calendar.py hides the module `calendar`" in shown


class TestStreams:
    @pytest.mark.parametrize(
        "line",
        ["sys.stdout = None", "sys.stdout.close()", "sys.stderr.close()", "sys.stdout = sys.stderr = object()"],
    )
    def test_replaced_at_import(self, short_tmp: Path, own_redis: RedisServer, line: str) -> None:
        app = short_tmp / "app"
        write_app(app, own_redis.url, f"import sys\n{line}\n{HANDLERS}")
        assert jobd(app, "check").returncode == 0
        runs_both(app, own_redis.url)

    def test_replaced_in_a_handler_is_no_crash_at_the_end(self, short_tmp: Path, own_redis: RedisServer) -> None:
        app = short_tmp / "app"
        rough = HANDLERS.replace("def plain(job):", (
            "class Rough(logging.Handler):\n"
            "    def emit(self, record): pass\n"
            "    def flush(self): raise RuntimeError('no flush')\n"
            "class Stream:\n"
            "    def flush(self): raise RuntimeError('no flush')\n"
            "def plain(job):\n"
            "    logging.getLogger().addHandler(Rough())\n"
            "    sys.stdout = Stream()\n"
            "    sys.stderr = None\n"
        ))  # fmt: skip
        write_app(app, own_redis.url, f"import logging, sys\n{rough}", '[daemon]\nlog = { format = "json" }\n')
        log = runs_both(app, own_redis.url)
        assert "crash" not in log

    def test_workers_own_lines_survive_the_applications_logging(self, short_tmp: Path, own_redis: RedisServer) -> None:
        app = short_tmp / "app"
        write_app(
            app, own_redis.url, "import logging.config\nlogging.config.dictConfig({'version': 1})\n" + HANDLERS,
            '[app]\nteardown = "work:broken"\n',
        )  # fmt: skip
        with (app / "work.py").open("a") as file:
            file.write("def broken(): raise RuntimeError('no teardown')\n")
        assert "teardown failed: no teardown" in runs_both(app, own_redis.url)


class TestModeThatAHandlerCannotHave:
    QUEUES = 'three = { handler = "work:plain", mode = "async" }\n'

    def test_check_and_run_end_with_78_at_the_place_of_the_mode(self, short_tmp: Path, own_redis: RedisServer) -> None:
        app = short_tmp / "app"
        write_app(app, own_redis.url, HANDLERS, self.QUEUES)
        for command in ("check", "run"):
            told = jobd(app, command)
            assert told.returncode == 78, told.stdout + told.stderr
            assert "jobd.toml:6:" in told.stderr
            assert "it is a plain def, which gives no awaitable" in told.stderr


GREEN = """
import _thread, select, threading

def start_new_thread(function, args, kwargs={}):
    raise RuntimeError("a green thread that never runs")
start_new_thread.__module__ = "greenish.thread"

_thread.start_new_thread = threading._start_new_thread = start_new_thread
del select.epoll
"""


class TestPatchedThreading:
    def test_refused_by_check_run_and_reload(self, make: Callable[..., DaemonProcess], short_tmp: Path) -> None:
        app = short_tmp / "app"
        write_app(app, "redis://h", GREEN + HANDLERS)
        for command in ("check", "run"):
            told = jobd(app, command)
            assert told.returncode == 78, told.stdout + told.stderr
            assert "importing work replaced threading, select (greenish), on which a worker runs" in told.stderr
        good = '[queues.q]\nhandler = "daemon_handlers:ok"\n'
        daemon = make(good)
        with pytest.raises(Failed, match="replaced threading") as refused:
            daemon.reload(f'{good}[queues.g]\nhandler = "work:plain"\npath = ["{app}"]\n')
        assert refused.value.exit == 78
