"""docs/configuration.md and the JSON Schema: made from the models, every key with its meaning and an example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w

from jobd.cli.app import run
from jobd.config.key_docs import meaning_of
from jobd.config.load import load
from jobd.config.problems import ConfigProblems
from jobd.config.reference import _SECTIONS, keys_of
from jobd.config.schema import schema
from jobd.config.tables import App, DaemonSettings, QueueTable, RedisSettings

TABLES = [table for _, _, table, _ in _SECTIONS]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_key_has_a_meaning_and_an_example(table) -> None:
    assert [key for _, key in keys_of(table) if meaning_of(table, key) is None] == []


def test_the_schema_describes_every_key() -> None:
    for name, definition in schema()["$defs"].items():
        for key, node in definition.get("properties", {}).items():
            if name not in {"Settings", "Secret"}:
                assert node.get("description"), (name, key)


@pytest.mark.parametrize(
    ("section", "table"), [("app", App), ("redis", RedisSettings), ("daemon", DaemonSettings), ("queue", QueueTable)]
)
def test_every_example_is_read(tmp_path: Path, section: str, table) -> None:
    for _, key in keys_of(table):
        if key == "preset":
            continue
        meaning = meaning_of(table, key)
        assert meaning is not None
        tree: dict[str, dict] = {"redis": {"url": "redis://h"}, "queues": {"q": {"handler": "a:b"}}}
        if key in {"embedded", "embedded_port", "server", "socket_mode"}:
            tree["redis"] = {"embedded": True}
        (tree["queues"]["q"] if section == "queue" else tree.setdefault(section, {}))[key] = meaning[1]
        (tmp_path / "jobd.toml").write_text(tomli_w.dumps(tree))
        try:
            load(tmp_path / "jobd.toml", env={})
        except ConfigProblems as error:
            assert all("there is no" in problem for problem in error.problems), (key, error.problems)


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()
