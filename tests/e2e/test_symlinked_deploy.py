"""Releases behind a symlink `current` that a deploy flips, and a start folder that is removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_process import ROOT, DaemonProcess
from tests.support.waiting import wait_until

HANDLER = "from pathlib import Path\n\nHERE = Path('name.txt').read_text()\ndef run(job):\n    return ['{0}', HERE]\n"


class Deploy(DaemonProcess):
    """A daemon started in `current`, with its socket and state outside of the releases."""

    named: tuple[str, ...] = ()

    def start(self) -> Deploy:
        """Start it in `current`, as a shell there would."""
        current = self.folder / "current"
        env = {**self.env, "PYTHONPATH": str(ROOT), "PWD": str(current)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobd", "run", *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=current, env=env, start_new_session=True,
            )  # fmt: skip
        return self

    def release(self, name: str) -> None:
        """Make a release and flip `current` to it."""
        folder = self.folder / name
        folder.mkdir()
        text = self.config.read_text().replace('path = ["', 'path = [".", "')
        (folder / "jobd.toml").write_text(text)
        (folder / "deployed.py").write_text(HANDLER.format(name))
        (folder / "name.txt").write_text(name)
        fresh = self.folder / "fresh"
        fresh.symlink_to(name)
        fresh.replace(self.folder / "current")

    def command(self, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as a person in that folder (`/` without one)."""
        where = cwd or Path("/")
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PWD": str(where)}
        return subprocess.run(
            [sys.executable, "-m", "jobd", *args],
            capture_output=True, text=True, env=env, cwd=where, timeout=30, check=False,
        )  # fmt: skip


@pytest.fixture
def deploy(short_tmp, redis_server, prefix):
    text = '[queues.a]\nhandler = "deployed:run"\nlock_duration = "1s"\n'
    with Deploy(short_tmp / "app", redis_server.url, text, prefix=prefix) as daemon:
        daemon.release("one")
        yield daemon.start_ready()


@pytest.fixture
def state_in_release(short_tmp):
    """A daemon with an embedded server whose socket and state lie where they do by default: in the release."""
    with Deploy(short_tmp / "app", "embedded", '[queues.a]\nhandler = "deployed:run"\n') as daemon:
        lines = daemon.config.read_text().splitlines()
        daemon.config.write_text("\n".join(line for line in lines if not line.startswith(("socket", "state_dir"))))
        current = daemon.folder / "current"
        daemon.args = ("--config", str(current / "jobd.toml"))
        daemon.socket = current / ".jobd" / "control.sock"
        daemon.release("one")
        yield daemon.start_ready()


def test_a_job_added_after_a_reload_of_code_runs_the_new_release(deploy, jobs):
    queue = jobs("a")
    assert queue.result(queue.add()) == ["one", "one"]
    for name in ("two", "three", "four"):
        deploy.release(name)
        deploy.call("reload", code=True)
        assert queue.result(queue.add()) == [name, name]


def test_status_plan_and_reload_name_the_newer_code_after_a_flip(deploy):
    assert deploy.status()["code"]["changed_on_disk"] is False
    deploy.release("two")
    named = ("--socket", str(deploy.socket))
    assert deploy.status()["code"]["changed_on_disk"] is True
    for command in ("status", "plan", "reload"):
        done = deploy.command(command, *named)
        assert (done.returncode, "jobd reload --code" in done.stdout) == (0, True), (command, done.stdout, done.stderr)
    deploy.call("reload", code=True)
    assert deploy.status()["code"]["changed_on_disk"] is False


def test_a_reload_works_when_the_start_folder_was_removed(deploy, jobs):
    started_in = (deploy.folder / "current").resolve()
    deploy.release("two")
    shutil.rmtree(started_in)
    assert deploy.call("reload", code=True)["generation"] == 2
    queue = jobs("a")
    assert queue.result(queue.add()) == ["two", "two"]


def test_a_command_works_in_a_folder_that_was_removed(deploy, short_tmp):
    gone = short_tmp / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m jobd status --socket {deploy.socket}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_daemon_whose_state_lies_in_a_release_is_found_after_a_flip_and_stays_the_only_one(state_in_release):
    deploy = state_in_release
    config = deploy.folder / "current" / "jobd.toml"
    one = (deploy.folder / "current").resolve()
    deploy.release("two")
    wait_until((config.parent / ".jobd" / "redis.url").exists, 10, what="the daemon is reachable by its name again")
    found = deploy.command("status", "--config", str(config))
    assert (found.returncode, found.stderr) == (0, "")
    second = deploy.command("run", "--config", str(config))
    assert second.returncode == 1
    assert f"another daemon (pid {deploy.pid})" in second.stderr
    added = deploy.command("job", "add", "a", "x", "--wait", "--config", str(config))
    assert (added.returncode, added.stderr) == (0, "")
    script = "from jobd.client import Queue; print(Queue('a').add('x', {}).wait(timeout=20))"
    client = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=config.parent, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert client.stdout == "['one', 'one']\n", client.stderr
    assert deploy.stop() == 0
    left = [path.name for release in (one, config.parent.resolve()) for path in (release / ".jobd").iterdir()]
    assert not {"control.sock", "redis.sock", "redis.url"} & set(left)


def test_a_control_socket_that_was_removed_is_made_again(deploy):
    deploy.socket.unlink()
    wait_until(deploy.socket.exists, 10, what="the socket is there again")
    assert deploy.status()["pid"] == deploy.pid
