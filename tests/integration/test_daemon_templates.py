"""Real template processes: what their imports give, how they fork, how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from jobd import __version__
from jobd.daemon.processes.template_process import Template, TemplateDied, TemplateError
from jobd.daemon.processes.worker_spec import TemplateKey
from jobd.protocol import board, framing
from jobd.protocol.worker import HandlerUse, Load, RedisTarget
from tests.support.daemon_process import HANDLERS, ROOT, alive

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def template(*handlers: str, python: str = sys.executable) -> Template:
    key = TemplateKey(python, (str(HANDLERS),), (), None, True)
    uses = [HandlerUse(each) for each in handlers]
    load = Load(__version__, board.LAYOUT, [str(HANDLERS)], {}, uses, [], RedisTarget("redis://nowhere", "bull"))
    return Template(key, load, ENVIRONMENT)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


async def fork(one: Template, name: str = "1.1.1") -> tuple[int, int, Any]:
    """Fork a worker that gets no start message: it waits for one."""
    ours, theirs = framing.pair()
    read_end, write_end = os.pipe()
    board_fd = board.create()
    try:
        pid, pidfd = await one.fork(name, (theirs.fileno(), board_fd, write_end))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        for fd in (read_end, write_end, board_fd):
            os.close(fd)
    return pid, pidfd, ours


async def ended(pidfd: int) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, over.set)
    await over.wait()
    loop.remove_reader(pidfd)


def test_it_reports_each_handler_and_forks_workers_that_lead_their_own_session():
    async def work() -> None:
        one = template("daemon_handlers:ok", "daemon_handlers:okk")
        loaded = await one.start()
        assert [(report.path, report.ok) for report in loaded.handlers] == [
            ("daemon_handlers:ok", True),
            ("daemon_handlers:okk", False),
        ]
        pid, pidfd, ours = await fork(one)
        assert one.workers == {pid}
        os.kill(pid, signal.SIGKILL)
        await ended(pidfd)
        assert await one.wait_status(pid, pidfd) == signal.SIGKILL
        one.forget(pid)
        assert one.workers == set()
        os.close(pidfd)
        ours.close()
        await one.stop()
        assert not alive(one.pid)

    run(work)


def test_a_worker_whose_template_is_killed_dies_with_it():
    async def work() -> None:
        one = template("daemon_handlers:ok")
        await one.start()
        pid, pidfd, ours = await fork(one)
        os.kill(one.pid, signal.SIGKILL)
        await ended(pidfd)
        assert not one.alive
        assert not alive(pid)
        os.close(pidfd)
        ours.close()
        await one.stop()

    run(work)


def test_a_template_that_is_killed_while_it_loads_or_later_says_that_it_died():
    async def work() -> None:
        slow = template("daemon_slow_import:ok")
        starting = asyncio.create_task(slow.start())
        while not slow.pid:
            await asyncio.sleep(0.01)
        os.kill(slow.pid, signal.SIGKILL)
        with pytest.raises(TemplateDied, match="SIGKILL"):
            await starting
        with pytest.raises(TemplateDied):
            await fork(slow)

    run(work)


def test_a_template_that_does_not_answer_forks_nothing_more_and_ends_with_its_last_worker(monkeypatch):
    monkeypatch.setattr("jobd.daemon.processes.template_process._FORK_LIMIT_S", 0.3)

    async def work() -> None:
        one = template("daemon_handlers:ok")
        await one.start()
        pid, pidfd, ours = await fork(one)
        os.kill(one.pid, signal.SIGSTOP)
        with pytest.raises(TemplateDied, match="did not answer"):
            await fork(one, "1.1.2")
        assert one.alive
        assert not one.usable
        one.retire()
        os.kill(pid, signal.SIGKILL)
        await ended(pidfd)
        assert await one.wait_status(pid, pidfd) == signal.SIGKILL
        one.forget(pid)
        os.close(pidfd)
        ours.close()
        while one.alive:
            await asyncio.sleep(0.01)
        await one.stop()

    run(work)


def test_another_build_of_the_same_version_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("jobd.daemon.processes.template_process.shapes", lambda: "another")

    async def work() -> None:
        one = template("daemon_handlers:ok")
        with pytest.raises(TemplateError, match=r"jobd was replaced by another build of .* restart it"):
            await one.start()
        assert not alive(one.pid)

    run(work)


def test_another_version_of_jobd_is_refused_and_its_process_ended(monkeypatch):
    monkeypatch.setattr("jobd.daemon.processes.template_process.__version__", "99.0")

    async def work() -> None:
        one = template("daemon_handlers:ok")
        with pytest.raises(
            TemplateError, match=r"jobd was replaced by version .* while the daemon, 99\.0, runs; restart it"
        ):
            await one.start()
        assert not alive(one.pid)

    run(work)


def test_another_version_in_another_virtualenv_is_refused_by_its_place(monkeypatch, tmp_path):
    monkeypatch.setattr("jobd.daemon.processes.template_process.__version__", "99.0")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)

    async def work() -> None:
        with pytest.raises(TemplateError, match=rf"jobd of {python} is version .* install the same version there"):
            await template("daemon_handlers:ok", python=str(python)).start()

    run(work)


def test_what_a_template_printed_before_it_ended_is_told(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named jobd >&2\nexit 3\n")
    python.chmod(0o755)

    async def work() -> None:
        with pytest.raises(TemplateError, match='exit code 3; it printed "No module named jobd"'):
            await template("daemon_handlers:ok", python=str(python)).start()

    run(work)


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_an_interpreter_that_cannot_run_it_is_told(python):
    async def work() -> None:
        with pytest.raises(TemplateError):
            await template("daemon_handlers:ok", python=python).start()

    run(work)


def test_a_retired_template_ends_with_its_last_worker():
    async def work() -> None:
        one = template("daemon_handlers:ok")
        await one.start()
        pid, pidfd, ours = await fork(one)
        one.retire()
        assert one.alive
        ours.close()  # end of file: the worker exits
        await ended(pidfd)
        await one.wait_status(pid, pidfd)
        one.forget(pid)
        os.close(pidfd)
        while one.alive:
            await asyncio.sleep(0.01)
        await one.stop()

    run(work)


def test_stopping_before_the_start_and_twice_is_harmless():
    async def work() -> None:
        one = template("daemon_handlers:ok")
        await one.stop()
        await one.start()
        await asyncio.gather(one.stop(), one.stop())
        await one.stop()
        assert not alive(one.pid)

    run(work)


def test_no_descriptor_of_a_template_is_left():
    async def work() -> None:
        files = Path("/proc/self/fd")
        before = len(list(files.iterdir()))
        for _ in range(3):
            one = template("daemon_handlers:ok")
            await one.start()
            await one.stop()
        assert len(list(files.iterdir())) == before

    run(work)
