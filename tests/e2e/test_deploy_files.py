"""The Dockerfile and the manifests: what they start exists, and their times and names fit together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from jobd.duration import parse_duration, parse_size
from tests.support.more_packages import more_python

_ROOT = Path(__file__).parents[2]
_DOCKERFILE = (_ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def _lines(word: str) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in _DOCKERFILE.splitlines() if line.startswith(f"{word} ")]


def _manifests(name: str) -> list[dict[str, Any]]:
    read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))"
    text = (_ROOT / "deploy" / "kubernetes" / name).read_text()
    done = subprocess.run([more_python(), "-c", read], input=text, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _is_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert argv[0] == "jobd"
    words = argv[1:]
    assert main([words[0], "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in words if word.startswith("--"))


def test_the_image_is_of_files_that_are_there_and_runs_as_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    for line in _lines("COPY"):
        if not line.startswith("--from"):
            assert all((_ROOT / name).exists() for name in line.split()[:-1])
            assert all(f"!{name}" in (_ROOT / ".dockerignore").read_text().split() for name in line.split()[:-1])
    assert _lines("USER") == ["10001:10001"]
    assert "--uid 10001" in _DOCKERFILE
    (health,) = _lines("HEALTHCHECK")
    _is_command(json.loads(health.partition("CMD ")[2]), capsys)
    _is_command([*json.loads(_lines("ENTRYPOINT")[0]), *json.loads(_lines("CMD")[0])], capsys)
    extras = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = _lines("ARG")
    assert set(wanted.partition("=")[2].split(",")) <= set(extras)


def test_the_variables_of_the_image_are_ones_that_jobd_knows(tmp_path: Path) -> None:
    variables = dict(re.findall(r"(JOBD_\w+)=(\S+)", _lines("ENV")[0]))
    assert len(variables) == 3
    (tmp_path / "jobd.toml").write_text('[redis]\nurl = "redis://r"\n[queues]\na = "os:getcwd"\n')
    env = {**os.environ, **variables, "JOBD_CONFIG": str(tmp_path / "jobd.toml"), "PYTHONPATH": str(_ROOT)}
    show = [sys.executable, "-m", "jobd", "config", "show", "--origin"]
    done = subprocess.run(show, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    for name in ("JOBD_DAEMON__SOCKET", "JOBD_DAEMON__STATE_DIR"):
        assert re.search(rf'"{variables[name]}" .*{name}', done.stdout), done.stdout


def test_the_manifests_fit_the_file_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_map, deployment, budget = _manifests("jobd.yaml")
    text = config_map["data"]["jobd.toml"]
    file = tomllib.loads(text)
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["terminationGracePeriodSeconds"] * 1000 >= parse_duration(file["daemon"]["grace"]) + 10_000
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        _is_command(container[probe]["exec"]["command"], capsys)
    _is_command(["jobd", *container["args"]], capsys)
    queue = container["args"][2]
    assert deployment["metadata"]["name"] == budget["metadata"]["name"] == f"jobd-{queue}"
    own = file["queues"][queue]
    limit = container["resources"]["limits"]["memory"].replace("i", "iB")
    assert own["workers"] * parse_size(own["memory_max"]) + 60_000_000 < parse_size(limit)
    (scaled,) = _manifests("keda.yaml")
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["spec"]["triggers"][0]["metadata"]["listName"] == f"bull:{queue}:wait"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mail.py").write_text("def send(job): ...\n")
    (tmp_path / "jobd.toml").write_text(text.replace("/app", str(tmp_path)))
    env = {**os.environ, "REDIS_URL": "redis://r", "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", "jobd", "check", "--config", str(tmp_path / "jobd.toml")]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, " 0 warnings" in done.stdout) == (0, True), done.stdout + done.stderr
