"""`jobd init`: what it writes works as it stands."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from jobd.client import Queue
from tests.support.redis_server import RedisServer

_FILES = ["jobd.toml", "jobs.py", "test_jobs.py"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder named like an application, the working folder of the test."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("JOBD_CONFIG", "JOBD_SOCKET", "JOBD_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def _works(home: Path) -> None:
    """The file passes check, the test passes under pytest."""
    checked = subprocess.run([sys.executable, "-m", "jobd", "check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert " 0 warnings" in checked.stdout
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(home)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


def test_the_first_files_pass_check_and_pytest(home: Path) -> None:
    assert main(["init"]) == 0
    assert sorted(path.name for path in home.iterdir()) == _FILES
    tree = tomllib.loads((home / "jobd.toml").read_text())
    assert tree["redis"] == {"embedded": True}
    assert tree["app"]["name"] == "my shop"
    assert {"keep_completed", "keep_failed"} <= tree["defaults"].keys()
    assert "\n# " in (home / "jobd.toml").read_text()
    _works(home)


def test_every_switched_off_key_of_the_file_is_a_key(home: Path) -> None:
    main(["init"])
    text = (home / "jobd.toml").read_text()
    lines = [line[2:] if line.startswith("# ") and " = " in line and "config show" not in line else line
             for line in text.splitlines()]  # fmt: skip
    lines = [line for line in lines if not line.startswith("embedded")]
    (home / "secrets").mkdir()
    (home / "jobs.py").write_text("def setup(): pass\ndef teardown(): pass\ndef welcome(job): pass\n")
    (home / "jobd.toml").write_text("\n".join(lines))
    assert len(lines) > 20
    assert main(["check"]) == 0


@pytest.mark.parametrize("existing", _FILES)
def test_one_existing_file_keeps_all_from_being_written(
    existing: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / existing).write_text("mine")
    assert main(["init"]) == 1
    assert existing in capsys.readouterr().err
    assert {path.name: path.read_text() for path in home.iterdir()} == {existing: "mine"}


@pytest.mark.parametrize(("refusal", "code"), [(errno.EACCES, 77), (errno.EROFS, 77), (errno.ENOSPC, 1)])
def test_a_folder_that_may_not_be_written_is_77_and_nothing_stays(
    refusal: int, code: int, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = os.open

    def refuse(path: Any, *given: Any, **more: Any) -> int:
        if Path(os.fsdecode(path)).name == "jobs.py":
            raise OSError(refusal, os.strerror(refusal))
        return real(path, *given, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert main(["init"]) == code
    told = f'error: cannot write "{home}/jobs.py": {os.strerror(refusal)}; nothing was written\n'
    assert (capsys.readouterr().err, list(home.iterdir())) == (told, [])


def test_queues_found_in_redis_become_tables_to_fill_in(
    home: Path, redis_server: RedisServer, own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    awkward = 'We "said":\n\\ """ ü'
    with Queue("email", url=own_redis.url) as queue:
        for name in ("welcome", "welcome", "reset-password", awkward):
            queue.add(name, {})
    with Queue("image.resize 2", url=own_redis.url) as queue:
        queue.add_many([(f"user-{number}", {}) for number in range(40)])
    with own_redis.client() as client:
        client.hset("bull:class:meta", "version", "bullmq:6.7.0")
        before = sorted(client.keys("*"))
    assert main(["init", "--redis", own_redis.url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["queues"]
    assert [queue["name"] for queue in found] == ["class", "email", "image.resize 2"]
    tree = tomllib.loads((home / "jobd.toml").read_text())
    assert tree["redis"] == {"url": own_redis.url}
    assert set(tree["queues"]["email"]["jobs"]) == {"welcome", "reset-password", awkward}
    assert tree["queues"]["image.resize 2"] == {"quiet": True, "handler": "jobs:image_resize_2"}
    assert all(queue["quiet"] for queue in tree["queues"].values())
    with own_redis.client() as client:
        assert sorted(client.keys("*")) == before
    _works(home)


def test_queues_under_a_prefix_of_their_own_are_found(
    home: Path, own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for prefix, names in (("{shop}:prod", ("orders", "email")), ("my:app", ("jobs",))):
        for name in names:
            with Queue(name, url=own_redis.url, prefix=prefix) as queue:
                queue.add("welcome", {})
    with own_redis.client() as client:
        client.hset("somebody:else:meta", "a", "b")
    assert main(["init", "--redis", own_redis.url]) == 0
    told = capsys.readouterr().out
    assert 'found 2 queues under the prefix "{shop}:prod": email, orders' in told
    assert 'not looked at: 1 queue under the prefix "my:app"' in told
    assert "somebody" not in told
    tree = tomllib.loads((home / "jobd.toml").read_text())
    assert (tree["redis"]["prefix"], set(tree["queues"])) == ("{shop}:prod", {"email", "orders"})
    _works(home)


def test_a_redis_that_does_not_answer_leaves_nothing_written(home: Path) -> None:
    assert main(["init", "--redis", "unix:///nowhere/r.sock"]) == 69
    assert list(home.iterdir()) == []


def test_an_empty_redis_gives_the_example(home: Path, own_redis: RedisServer) -> None:
    assert main(["init", "--redis", own_redis.url]) == 0
    assert "email" in tomllib.loads((home / "jobd.toml").read_text())["queues"]
    _works(home)
