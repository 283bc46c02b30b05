"""What a handler adds goes to the Redis its daemon serves, however that Redis was named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from jobd.client import Queue
from jobd.errors import JobFailed
from tests.support.daemon_process import ROOT
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

HANDLERS = """
import asyncio, os, subprocess, sys, threading
from jobd.client import AsyncQueue, Queue

made_at_import = Queue("late")
PROGRAM = "from jobd.client import Queue; Queue('late').add('program', {})"

def setup():
    Queue("late").add("setup", {})

def first(job):
    Queue("late").add("plain", {"settings": os.environ.get("REDIS_URL")})
    made_at_import.add("import", {})
    job.add("late", "short", {}, priority=3)
    thread = threading.Thread(target=lambda: Queue("late").add("thread", {}))
    thread.start()
    thread.join()
    pid = os.fork()
    if pid == 0:
        Queue("late").add("fork", {})
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, cwd="/")

async def second(job):
    async with AsyncQueue("late") as queue:
        await queue.add("async", {})
    handle = await job.add("late", "awaited", {})
    return handle.id
"""

ALL = {"setup", "plain", "import", "short", "thread", "fork", "program", "async", "awaited"}


NOWHERE = "redis://127.0.0.1:1"


def write_app(folder: Path, redis_lines: str, name: str = "jobd.toml") -> Path:
    """Write the handlers and a configuration with these lines in [redis]."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adders.py").write_text(HANDLERS)
    path = folder / name
    path.write_text(
        f'[app]\nsetup = "adders:setup"\n[redis]\n{redis_lines}\n[daemon]\nlog = {{ format = "json" }}\n'
        '[queues]\none = "adders:first"\ntwo = "adders:second"\n'
    )
    return path


@contextmanager
def running(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> Iterator[Path]:
    """`jobd run` in a folder; gives the path of its log."""
    log = folder / "daemon.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOBD_", "REDIS_URL"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobd", "run", *args], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, env={**clean, "PYTHONPATH": str(ROOT), **(env or {})},
        )  # fmt: skip
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def adds_arrive(url: str, log: Path, prefix: str = "bull") -> None:
    """Run one job of each handler, and see everything they added in the Redis at `url`."""
    with Queue("one", url=url, prefix=prefix) as one, Queue("two", url=url, prefix=prefix) as two:
        for handle in [one.add("n"), two.add("n")]:
            try:
                handle.wait(30)
            except (JobFailed, TimeoutError) as error:
                raise AssertionError(f"{error}\n{log.read_text()[-6000:]}") from error
    with redis.Redis.from_url(url, decode_responses=True) as client:
        ids = client.lrange(f"{prefix}:late:wait", 0, -1) + client.zrange(f"{prefix}:late:prioritized", 0, -1)
        names = {client.hget(f"{prefix}:late:{each}", "name") for each in ids}
    assert names == ALL


@pytest.fixture
def protected(own_redis: RedisServer) -> tuple[str, int]:
    """A Redis with the password pw9: its URL with it, and its port."""
    with own_redis.client() as client:
        client.config_set("requirepass", "pw9")
    return f"redis://:pw9@127.0.0.1:{own_redis.port}/0", own_redis.port


class TestWhereWhatAHandlerAddsGoes:
    def test_url_of_a_variable_with_a_password_which_the_app_keeps(
        self, short_tmp: Path, protected: tuple[str, int]
    ) -> None:
        url, _ = protected
        write_app(short_tmp / "app", f'url = "${{REDIS_URL:-{NOWHERE}}}"')
        with running(short_tmp / "app", env={"REDIS_URL": url}) as log:
            adds_arrive(url, log)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            records = [client.hgetall(f"bull:late:{each}") for each in client.lrange("bull:late:wait", 0, -1)]
        assert [record["data"] for record in records if record["name"] == "plain"] == [f'{{"settings":"{url}"}}']
        assert "pw9" not in log.read_text()

    def test_prefix_of_a_variable(self, short_tmp: Path, own_redis: RedisServer) -> None:
        write_app(short_tmp / "app", f'url = "{own_redis.url}"')
        with running(short_tmp / "app", env={"JOBD_REDIS__PREFIX": "shop"}) as log:
            adds_arrive(own_redis.url, log, "shop")

    def test_flag(self, short_tmp: Path, own_redis: RedisServer) -> None:
        write_app(short_tmp / "app", f'url = "{NOWHERE}"')
        with running(short_tmp / "app", "--redis", own_redis.url) as log:
            adds_arrive(own_redis.url, log)

    def test_variable_of_jobd(self, short_tmp: Path, protected: tuple[str, int]) -> None:
        url, _ = protected
        write_app(short_tmp / "app", f'url = "{NOWHERE}"')
        with running(short_tmp / "app", env={"JOBD_REDIS_URL": url}) as log:
            adds_arrive(url, log)

    def test_password_in_a_variable(self, short_tmp: Path, protected: tuple[str, int]) -> None:
        url, port = protected
        write_app(short_tmp / "app", f'url = "redis://127.0.0.1:{port}/0"\npassword = {{ env = "SECRET" }}')
        with running(short_tmp / "app", env={"SECRET": "pw9"}) as log:
            adds_arrive(url, log)

    def test_another_file(self, short_tmp: Path, own_redis: RedisServer) -> None:
        write_app(short_tmp / "app", f'url = "{own_redis.url}"', "other.toml")
        (short_tmp / "app" / "jobd.toml").write_text(f'[redis]\nurl = "{NOWHERE}"\n[queues]\n')
        with running(short_tmp / "app", "--config", "other.toml") as log:
            adds_arrive(own_redis.url, log)

    def test_embedded_server_behind_a_socket_elsewhere(self, short_tmp: Path) -> None:
        write_app(short_tmp / "app", "embedded = true")
        socket = short_tmp / "elsewhere" / "c.sock"
        socket.parent.mkdir()
        with running(short_tmp / "app", "--socket", str(socket)) as log:
            written = wait_until(lambda: (socket.parent / "redis.url").exists() and json.loads(
                (socket.parent / "redis.url").read_text()), 30, what="the embedded server is there")  # fmt: skip
            adds_arrive(written["url"], log)


def test_program_of_a_worker_that_is_gone_refuses_to_guess() -> None:
    code = "from jobd.client import Queue; Queue('late')"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"JOBD_WORKER_REDIS": "/proc/1/fd/99999", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert result.returncode == 1
    assert "cannot tell which Redis the worker that started this program uses" in result.stderr


def test_no_handler_sees_the_password_in_a_variable_of_jobd(short_tmp: Path, protected: tuple[str, int]) -> None:
    url, _ = protected
    app = short_tmp / "app"
    write_app(app, f'url = "{NOWHERE}"')
    (app / "adders.py").write_text(
        "import os\ndef setup(): pass\n"
        "def first(job): return [name for name, value in os.environ.items() if 'pw9' in value]\nsecond = first\n"
    )
    with running(app, env={"JOBD_REDIS_URL": url}), Queue("one", url=url) as one:
        assert one.add("n").wait(30) == []
