"""examples/monitoring as it stands: a real Prometheus scrapes a real daemon, and every panel and rule has its data."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import DaemonProcess, Failed
from tests.support.programs import find_program
from tests.support.redis_server import free_port
from tests.support.waiting import wait_until

_EXAMPLES = Path(__file__).parents[2] / "examples" / "monitoring"
_QUEUES = """
http = "127.0.0.1:{port}"
[queues.email]
handler = "counting_handlers:ends"
concurrency = 4
breaker = false
keep_failed = 100
keep_completed = 100
"""


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    for name in ("prometheus", "promtool"):
        find_program(name, "prometheus")


class _Prometheus:
    """One server on the example's own file, with the daemon's address in it and its times shortened."""

    def __init__(self, folder: Path, daemon: str) -> None:
        self._folder, self._port = folder, free_port()
        shutil.copytree(_EXAMPLES, folder)
        text = (folder / "prometheus.yml").read_text()
        assert '["127.0.0.1:9464"]' in text
        text = text.replace("127.0.0.1:9464", daemon).replace("_interval: 15s", "_interval: 500ms")
        (folder / "prometheus.yml").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{self._port}",
                 f"--storage.tsdb.path={self._folder}/data"],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._answers, 60, what="Prometheus answers", every=0.2)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now."""
        found: list[dict[str, Any]] = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")["result"]
        return found

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return {alert's name: the rule}."""
        return {rule["name"]: rule for group in self._get("rules")["groups"] for rule in group["rules"]}

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}", timeout=20) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
        try:
            return bool(self._get("status/buildinfo"))
        except (OSError, AssertionError):
            return False


@pytest.fixture
def daemon(make: Callable[..., DaemonProcess]) -> tuple[DaemonProcess, str]:
    port = free_port()
    return make(_QUEUES.format(port=port)), f"127.0.0.1:{port}"


@pytest.fixture
def prometheus(daemon: tuple[DaemonProcess, str], short_tmp: Path) -> Iterator[_Prometheus]:
    server = _Prometheus(short_tmp / "prometheus", daemon[1])
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_the_files_of_the_example_are_valid() -> None:
    for check in (["rules", "alerts.yml"], ["config", "prometheus.yml"]):
        done = subprocess.run(["promtool", "check", *check], cwd=_EXAMPLES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def test_each_alert_fires_when_it_should_and_says_what_to_type(tmp_path: Path) -> None:
    cases = Path(__file__).parents[1] / "fixtures" / "monitoring" / "alerts_test.yml"
    for file in (_EXAMPLES / "alerts.yml", cases):
        shutil.copy(file, tmp_path)
    done = subprocess.run(
        ["promtool", "test", "rules", cases.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = re.findall(r"- alert: (\w+)", (_EXAMPLES / "alerts.yml").read_text())
    assert set(alerts) == set(re.findall(r"alertname: (\w+)\n", cases.read_text()))


@pytest.mark.timeout(180)
def test_every_panel_has_data_and_every_alert_is_evaluated(
    daemon: tuple[DaemonProcess, str], prometheus: _Prometheus
) -> None:
    jobd, _ = daemon
    dashboard = json.loads((_EXAMPLES / "grafana.json").read_text())
    empty = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in dashboard["panels"]}
    assert len(empty) > 12

    def all_have_data() -> bool:
        for how in ("works", "works", "fails", "fails"):
            jobd.call("job.add", queue="email", name="x", data={"how": how})
        for title, expressions in list(empty.items()):
            if all(_numbers(prometheus.query(_as_grafana_asks(expression))) for expression in expressions):
                del empty[title]
        return not empty

    # Counts and differences need what a quiet daemon has not: a worker that was replaced, a reload that was refused.
    wait_until(lambda: prometheus.query("jobd_worker_restarts_total"), 60, what="the first scrape", every=0.2)
    os.kill(jobd.worker_pids("email")[0], signal.SIGKILL)
    good = jobd.config.read_text()
    jobd.config.write_text(good.replace("concurrency", "concurency"))
    with pytest.raises(Failed):
        jobd.call("reload")
    jobd.config.write_text(good)
    try:
        wait_until(all_have_data, 90, what="every panel shows numbers", every=0.5)
    except AssertionError as error:
        raise AssertionError(f"without numbers: {empty}") from error

    def many_failures_are_seen() -> bool:
        return all_have_data() and bool(prometheus.rules()["JobdFailureRate"]["state"] == "pending")

    wait_until(many_failures_are_seen, 60, what="the failures make an alert", every=0.5)
    rules = prometheus.rules()
    assert [rule for rule in rules.values() if rule["health"] != "ok"] == []
    assert rules["JobdReloadFailed"]["state"] == "firing"  # it waits for nothing
    assert rules["JobdDown"]["state"] == "inactive"
    (alert,) = rules["JobdReloadFailed"]["alerts"]
    assert "a reload was refused on 127.0.0.1:" in alert["annotations"]["summary"]

    jobd.stop()
    wait_until(lambda: prometheus.rules()["JobdDown"]["state"] == "pending", 60, what="it is missed", every=0.5)


@pytest.mark.timeout(90)
def test_what_a_daemon_serves_passes_the_checks_of_promtool(daemon: tuple[DaemonProcess, str]) -> None:
    jobd, address = daemon
    jobd.call("job.add", queue="email", name="x", data={"how": "works"})
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        page = answer.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _numbers(samples: list[dict[str, Any]]) -> bool:
    return any(sample["value"][1] != "NaN" for sample in samples)


def _as_grafana_asks(expression: str) -> str:
    asked = expression.replace("$__rate_interval", "1m").replace("$__all", ".*")
    return re.sub(r"\$(instance|queue)\b", ".*", asked)
