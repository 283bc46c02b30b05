"""A secret that is rotated is used without a restart: by the daemon, its workers, the client and the queues' env."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.client import Queue
from tests.support.daemon_process import DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

OK = '[queues.a]\nhandler = "daemon_handlers:ok"\nlock_duration = "1s"\n'


class Guarded:
    """A server with a password, which a file holds."""

    def __init__(self, server: RedisServer, secret: Path) -> None:
        self.server = server
        self.secret = secret
        self.admin = redis.Redis(unix_socket_path=str(server.socket), decode_responses=True)
        self.rotate("first")

    def rotate(self, password: str) -> None:
        """Change it on the server, then in the file."""
        self.admin.config_set("requirepass", password)
        self.admin.execute_command("AUTH", password)
        self.secret.write_text(password + "\n")

    def cut(self) -> None:
        """End every connection but this one, as a server that revokes access does."""
        self.admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.fixture
def guarded(short_tmp: Path) -> Iterator[Guarded]:
    server = RedisServer(short_tmp / "guarded").start()
    found = Guarded(server, short_tmp / "secret")
    yield found
    found.admin.close()
    server.stop()


@pytest.fixture
def daemon(make: Callable[..., DaemonProcess], guarded: Guarded) -> DaemonProcess:
    return make(OK, url=guarded.server.url, redis=f'password = {{ file = "{guarded.secret}" }}')


def result_of(queue: Queue) -> Any:
    return queue.add("x", {}).wait(timeout=15)


def test_when_redis_refuses_the_old_one_everybody_reads_it_again(daemon: DaemonProcess, guarded: Guarded) -> None:
    before = daemon.worker_pids("a")
    with Queue("a", config=daemon.config) as queue:
        assert result_of(queue)
        guarded.rotate("second")
        guarded.cut()
        wait_until(lambda: daemon.status()["redis"]["up"], 15)
        with pytest.raises(redis.RedisError):
            redis.Redis(unix_socket_path=str(guarded.server.socket), password="first").ping()
    with Queue("a", config=daemon.config) as queue:
        assert result_of(queue)
    assert daemon.worker_pids("a") == before
    # Nobody reloaded, so a worker that starts now must not be given the old one either.
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: daemon.worker_pids("a") not in ([], before), 15)
    with Queue("a", config=daemon.config) as queue:
        assert result_of(queue)


def test_a_reload_tells_of_it_and_keeps_the_workers(daemon: DaemonProcess, guarded: Guarded) -> None:
    before = daemon.worker_pids("a")
    assert not daemon.call("plan", config=None)["changes"]
    guarded.rotate("second")
    (step, _) = daemon.call("plan", config=None)["steps"]
    assert (step["what"], step["how"]) == ("[redis] password changed", "connections renewed, no restart")
    assert daemon.reload()["generation"] == 2
    assert not daemon.call("plan", config=None)["changes"]
    guarded.cut()
    with Queue("a", config=daemon.config) as queue:
        assert result_of(queue)
    assert daemon.worker_pids("a") == before


def test_a_new_value_in_env_replaces_the_workers(make: Callable[..., DaemonProcess], tmp_path: Path, jobs: Any) -> None:
    key, module = tmp_path / "key", tmp_path / "told.py"
    key.write_text("old")
    module.write_text("import os\ndef run(job):\n    return os.environ['API_KEY']\n")
    text = f'[queues.a]\nhandler = "told:run"\npath = ["{tmp_path}"]\nenv = {{ API_KEY = {{ file = "{key}" }} }}\n'
    daemon = make(text + '[queues.b]\nhandler = "daemon_handlers:ok"\n')
    kept = daemon.worker_pids("b")
    assert (q := jobs("a")).result(q.add()) == "old"
    assert not daemon.call("plan", config=None)["changes"]
    key.write_text("new")
    report = daemon.reload()
    assert [step["what"] for step in report["steps"]] == ["env API_KEY (new value)", "unchanged"]
    assert (q := jobs("a")).result(q.add()) == "new"
    assert daemon.worker_pids("b") == kept
