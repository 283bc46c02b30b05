"""The packages: what is in them, that they install into bare virtualenvs, and that what was installed works."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.more_packages import more_python

_ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_VERSIONS = ("3.11", "3.12", "3.13", "3.14")

pytestmark = pytest.mark.timeout(400)


@functools.cache
def _python(version: str) -> str | None:
    """A Python of this version: ours, the tests' newest, one of pyenv's (off on the PATH maybe), or on the PATH."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    newest = _ROOT / ".venv-newest" / "bin" / f"python{version}"
    if newest.exists():
        return str(newest)
    managed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(managed[-1]) if managed else shutil.which(f"python{version}")


_PYTHONS = [version for version in _VERSIONS if _python(version)]
if os.environ.get("PACKAGE_PYTHONS") != "all":
    # Each costs half a minute: the oldest and the newest, unless all are asked for.
    _PYTHONS = list(dict.fromkeys([_PYTHONS[0], _PYTHONS[-1]]))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the sdist, built from a copy of what git knows."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=_ROOT, capture_output=True,
        check=True,
    ).stdout.decode().split("\0")  # fmt: skip
    for name in filter(lambda name: name and (_ROOT / name).is_file(), names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_ROOT / name, source / name)
    _run([more_python(), "-m", "build", "--no-isolation", "--outdir", str(out), str(source)], out)
    return out


def _run(command: list[str], folder: Path) -> str:
    # Nothing of the machine's settings, and nothing of the repository's code, reaches what was installed.
    hidden = ("PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    env = {name: value for name, value in os.environ.items() if name not in hidden and not name.startswith("JOBD_")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _wheel(packages: Path) -> Path:
    return next(packages.glob("*.whl"))


def _install(version: str, folder: Path, *wanted: str) -> str:
    """Return the Python of a fresh virtualenv with these packages."""
    base = _python(version)
    assert base is not None
    _run([base, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    python = str(folder / "venv" / "bin" / "python")
    _pip(python, folder, *wanted)
    return python


def _pip(python: str, folder: Path, *wanted: str) -> None:
    # Our pip works on that virtualenv: one of its own, and byte code of all modules, would cost most of the time.
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    _run([*pip, "install", "--no-compile", *wanted], folder)


def test_the_wheel_holds_the_package_and_nothing_else(packages: Path) -> None:
    with zipfile.ZipFile(_wheel(packages)) as wheel:
        names = wheel.namelist()
    strange = [name for name in names if not re.match(r"jobd/|jobd_mq-[\d.]+\.dist-info/", name)]
    kinds = {Path(name).suffix for name in names if name.startswith("jobd/")} - {".py", ".lua"}
    assert strange == []
    assert kinds <= {"", ".typed", ".service", ".socket", ".html", ".css", ".js", ".svg"}
    assert {"jobd/py.typed", "jobd/cli/units/jobd.service", "jobd/engine/lua/turn.lua"} <= set(names)
    in_git = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "jobd"], cwd=_ROOT, capture_output=True,
        text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert {name for name in names if name.startswith("jobd/")} == {n for n in in_git if (_ROOT / n).exists()}
    checker = str(Path(more_python()).parent / "check-wheel-contents")
    _run([checker, str(_wheel(packages))], packages)


def test_the_sdist_builds_the_same_wheel_and_brings_tests_and_documents(packages: Path) -> None:
    with tarfile.open(next(packages.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", "docs/handlers.md", "tests/conftest.py"} <= names
    assert not any("node_modules" in name or ".venv" in name or "__pycache__" in name for name in names)


_BASE = """
import importlib.util, json, sys
from jobd.client import Queue
from jobd.testing import run
assert not any(importlib.util.find_spec(name) for name in ("click", "pydantic", "pytest"))
print(json.dumps(run(lambda job: job.data, {"a": 1}).result))
"""


@pytest.mark.parametrize("version", _PYTHONS)
def test_what_is_installed_works(version: str, packages: Path, tmp_path: Path) -> None:
    python = _install(version, tmp_path, str(_wheel(packages)))
    _the_base_is_redis_py_and_enough_for_producers(python, tmp_path)
    _pip(python, tmp_path, f"{_wheel(packages)}[daemon,embedded]")
    _demo(python, tmp_path)
    if version == _PYTHONS[0]:
        _types_are_known(python, tmp_path)


def _the_base_is_redis_py_and_enough_for_producers(python: str, folder: Path) -> None:
    assert _run([python, "-W", "error", "-c", _BASE], folder) == '{"a": 1}\n'
    listed = _run([sys.executable, "-m", "pip", "--python", python, "list", "--format=freeze"], folder).split()
    assert {line.partition("==")[0] for line in listed} == {"jobd-mq", "redis"}
    command = [str(Path(python).parent / "jobd"), "status"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert "pip install" in told.stderr


def test_the_demo_runs_on_the_lowest_versions_of_all_dependencies(packages: Path, tmp_path: Path) -> None:
    extras = _PROJECT["optional-dependencies"]
    used = ["daemon", "embedded", "metrics", "tui", "uvloop", "web"]
    needs = [*_PROJECT["dependencies"], *(need for extra in used for need in extras[extra])]
    lowest = [re.sub(r">=([^,]+).*", r"==\1", need) for need in needs]
    python = _install(_PYTHONS[0], tmp_path, f"{_wheel(packages)}[{','.join(used)}]", "pytest", *lowest)
    _demo(python, tmp_path)
    # textual 3.0 took every key and ended at the first answer.
    shutil.copy(_ROOT / "tests" / "unit" / "cli" / "top" / "test_top.py", tmp_path)
    _run([python, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", "-k", "asks_first", "test_top.py"], tmp_path)


def _demo(python: str, folder: Path) -> None:
    """Run `make demo`'s program where the repository's own jobd is out of reach."""
    shutil.copytree(_ROOT / "examples" / "python", folder / "examples" / "python")
    shutil.copy(_ROOT / "examples" / "demo.py", folder / "examples")
    shutil.copy(_ROOT / "jobd.toml", folder)
    assert _run([python, "examples/demo.py"], folder).rstrip().endswith("all jobs came out as they should")
    assert _run([python, "-m", "jobd", "version"], folder).startswith("jobd ")


_PROGRAM = """
from typing import TypedDict

from jobd import Job, RetryLater, current_job
from jobd.client import AsyncQueue, Backoff, Flow, JobHandle, Queue
from jobd.testing import Done, FakeQueue, run


class Welcome(TypedDict):
    userId: int


def send(job: Job, data: Welcome) -> dict[str, int]:
    job.progress({"half": True})
    if job.attempt > 3 and current_job() is job:
        raise RetryLater("5s")
    return {"sent": data["userId"]}


def produce() -> JobHandle:
    with Queue("email", url="redis://localhost") as queue:
        queue.add_flow(Flow("site", children=[Flow("page", {"n": 1})]))
        return queue.add("welcome", {"userId": 7}, attempts=3, backoff=Backoff.exponential("5s"))


async def aproduce() -> str:
    async with AsyncQueue("email") as queue:
        job = await queue.add("welcome", {"userId": 7}, delay="10s")
        return job.id


def test_send() -> None:
    done: Done = run(send, {"userId": 7})
    assert done.outcome == "completed"
    with FakeQueue.patch() as added:
        assert [job.name for job in added["email"]] == []
"""


def _types_are_known(python: str, folder: Path) -> None:
    """A program of a user's passes mypy --strict against what was installed, and its mistakes do not."""
    (folder / "program.py").write_text(_PROGRAM)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--cache-dir", str(folder / "c")]
    _run([*mypy, "program.py"], folder)
    (folder / "wrong.py").write_text(
        _PROGRAM.replace("attempts=3", 'attempts="3"').replace("job.attempt >", "job.no >")
    )
    found = subprocess.run([*mypy, "wrong.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert found.stdout.count("error:") == 2, found.stdout


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)
