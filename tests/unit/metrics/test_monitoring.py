"""examples/monitoring names only what a daemon serves, and says what to type next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.cli.app import _HOMES
from jobd.daemon.counters import Counters
from jobd.metrics.families import families
from jobd.operations.numbers import Numbers, QueueNumbers, ScheduleNumbers
from jobd.protocol.counts import ENDS, Histogram, Runs

FOLDER = Path(__file__).parents[3] / "examples" / "monitoring"

_GIVEN_BY_PROMETHEUS = {"instance", "job"}


def everything() -> Numbers:
    counters = Counters().of("q")
    queue = QueueNumbers(
        name="q", state="running", why="", jobs={"waiting": 1, "prioritized": 0, "failed": 0}, oldest_waiting_s=1.0,
        busy=1, free=1, breaker_open=False, workers={"ready": 1}, memory={0: 1}, runs={"other": Runs()},
        waits=Histogram(), restarts=counters.restarts, renewals=counters.renewals,
    )  # fmt: skip
    return Numbers(
        version="1", ready=True, generation=1, reloads=Counters().reloads, redis_up=True, redis_s=0.1, queues=[queue],
        schedules=[ScheduleNumbers("nightly", 1.0, 0)],
    )  # fmt: skip


def served() -> dict[str, dict[str, set[str]]]:
    """Return {sample's name: {label: its values}}."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in families(everything()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def expressions() -> Iterator[str]:
    rules = (FOLDER / "alerts.yml").read_text()
    for block, line in re.findall(r"expr: (?:>\n((?:          .*\n)+)|(.+))", rules):
        yield block or line
    dashboard: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if "definition" in variable:
            yield variable["definition"]


@pytest.mark.parametrize("expression", list(expressions()))
def test_names_labels_and_values_are_served(expression: str) -> None:
    known = served()
    names = re.findall(r"\bjobd_\w+", expression)
    assert names or "up{" in expression
    for name in names:
        assert name in known, name
    for name, matchers in re.findall(r"(jobd_\w+)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)(=~|!=|=|!~)"([^"]*)"', matchers):
            if label in _GIVEN_BY_PROMETHEUS:
                continue
            assert label in known[name], (name, label)
            if not value.startswith("$") and operator in ("=", "=~"):
                assert set(value.split("|")) <= known[name][label], (name, label, value)


def test_the_issue_asked_for_these_alerts() -> None:
    names = set(re.findall(r"alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    assert {"JobdNoConsumer", "JobdOldestWaiting", "JobdBreakerOpen", "JobdReloadFailed", "JobdFailureRate"} <= names


def test_what_to_type_next_are_commands() -> None:
    for text in re.findall(r'mend: "(.*)"', (FOLDER / "alerts.yml").read_text()):
        for command in text.split("; "):
            if command.startswith("jobd "):
                assert command.split()[1] in {*_HOMES, "doctor"}, command


def test_the_page_of_the_documentation_has_every_name() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    for name in served():
        bare = re.sub(r"_(bucket|count|sum)$", "", name)
        assert f"`{bare}`" in page, bare
    for end in ENDS:
        assert f"`{end.value}`" in page, end
