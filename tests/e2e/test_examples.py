"""The examples run as their pages say, from a copy, with the commands their pages name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.node import node_modules
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_EXAMPLES = _ROOT / "examples"


def test_the_python_example_prints_what_its_page_says(short_tmp: Path) -> None:
    app = shutil.copytree(_EXAMPLES / "python", short_tmp / "app")
    with _daemon(app, {}) as env:
        printed = _run([sys.executable, "add.py"], app, env)
    assert printed.splitlines() == _shown_output(app / "README.md", "welcome completed")


@pytest.mark.node
def test_the_nestjs_application_gets_its_results_from_python(short_tmp: Path, own_redis: RedisServer) -> None:
    app = shutil.copytree(_EXAMPLES / "nestjs", short_tmp / "app", ignore=shutil.ignore_patterns("node_modules"))
    (app / "node_modules").symlink_to(node_modules())
    url = {"REDIS_URL": own_redis.tcp_url}
    _run(["npm", "run", "build"], app, url)
    with _daemon(app, url) as env:
        printed = _run(["npm", "--silent", "start"], app, env)
    results = [line for line in printed.splitlines() if "%" not in line]
    assert results == _shown_output(app / "README.md", "job 1 completed")
    assert "job 1: 50 %" in printed


@pytest.mark.node
def test_the_compiler_catches_a_field_that_python_does_not_take(short_tmp: Path) -> None:
    app = shutil.copytree(_EXAMPLES / "nestjs", short_tmp / "app", ignore=shutil.ignore_patterns("node_modules"))
    (app / "node_modules").symlink_to(node_modules())
    make = [sys.executable, "-m", "jobd", "schema", "jobs", "--ts"]
    assert _run(make, app, {}) == (app / "src" / "jobs.ts").read_text(), "make it again: npm run types"
    handlers = app / "shop" / "mail.py"
    handlers.write_text(handlers.read_text().replace("userId", "recipient"))
    (app / "src" / "jobs.ts").write_text(_run(make, app, {}))
    built = subprocess.run(["npm", "run", "build"], cwd=app, env=_env(), capture_output=True, text=True, check=False)
    assert built.returncode != 0
    assert "'userId' does not exist in type '{ recipient: number; }'" in built.stdout


@pytest.mark.node
def test_the_nestjs_example_pins_the_packages_that_the_tests_install() -> None:
    def pinned(folder: Path) -> dict[str, str]:
        package = json.loads((folder / "package.json").read_text())
        return {**package["dependencies"], **package["devDependencies"]}

    example = pinned(_EXAMPLES / "nestjs")
    shared = pinned(_ROOT / "tests" / "interop")
    assert example == {name: shared[name] for name in example}
    assert all(re.fullmatch(r"[0-9.]+", version) for version in example.values())


def test_the_demo_comes_out_right_and_leaves_nothing_behind(short_tmp: Path) -> None:
    before = {path.name for path in _ROOT.iterdir()}
    printed = _run([sys.executable, "examples/demo.py"], _ROOT, {"TMPDIR": str(short_tmp)})
    assert "delayed by 2 s         completed by attempt 1" in printed
    assert printed.rstrip().endswith("all jobs came out as they should")
    assert list(short_tmp.iterdir()) == []
    assert {path.name for path in _ROOT.iterdir()} == before


@contextmanager
def _daemon(app: Path, extra: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """`jobd run` in the example's folder, ready; yields the environment for a second terminal."""
    env = {**_env(), **extra}
    with (app / "log").open("w") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "jobd", "run"], cwd=app, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: _ready(daemon, app, env), 30, what="jobd is ready", every=0.1)
        yield env
        assert subprocess.run([sys.executable, "-m", "jobd", "stop"], cwd=app, env=env, check=False).returncode == 0
        assert daemon.wait(timeout=30) == 0
    finally:
        daemon.kill()
        daemon.wait()


def _ready(daemon: subprocess.Popen[bytes], app: Path, env: dict[str, str]) -> bool:
    assert daemon.poll() is None, (app / "log").read_text()
    health = [sys.executable, "-m", "jobd", "health", "--ready"]
    return subprocess.run(health, cwd=app, env=env, capture_output=True, check=False).returncode == 0


def _run(command: list[str], folder: Path, extra: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**_env(), **extra}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _env() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
    return {**mine, "PYTHONPATH": str(_ROOT)}


def _shown_output(page: Path, first: str) -> list[str]:
    """The lines of the page's indented block that starts with `first`."""
    block = page.read_text().split(f"    {first}", 1)[1].split("\n\n", 1)[0]
    return [line.strip() for line in f"{first}{block}".splitlines()]
