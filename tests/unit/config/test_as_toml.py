"""What `config show` and `config schema` are made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobd.config.as_toml import show, show_toml
from jobd.config.load import load
from jobd.config.schema import schema
from jobd.duration import parse_size, spell_size

FIXTURES = Path(__file__).parents[3] / "tests/fixtures/config"


def test_every_setting_has_its_origin() -> None:
    config = load(FIXTURES / "full.toml", env={"JOBD_DAEMON__GRACE": "1m30s", "JOBD_DEFAULTS__MAX_CRASHES": "0"})
    rows = {key: (value, origin) for key, value, origin in show(config)}
    assert rows["daemon.grace"] == ('"1m30s"', "$JOBD_DAEMON__GRACE")
    assert rows["queues.email.workers"] == ("2", "full.toml:23:11")
    assert rows["queues.thumbs.timeout"] == ('"10m"', "full.toml:20:12")
    assert rows["queues.thumbs.max_crashes"] == ("0", "$JOBD_DEFAULTS__MAX_CRASHES")
    assert rows["queues.email.quiet"] == ("false", "built in")
    assert rows["queues.reports.breaker"] == ("false", "full.toml:37:11")
    assert rows["queues.email.jobs.receipt"] == ('{ handler = "shop.mail:receipt" }', "full.toml:30:12")


def test_shown_text_loads_to_the_same_queues(tmp_path: Path) -> None:
    config = load(FIXTURES / "full.toml", env={})
    again = tmp_path / "jobd.toml"
    again.write_text(show_toml(config))
    loaded = load(again, env={})
    for name, queue in config.queues.items():
        same = {"env": {}, "preset": None, "written": frozenset(), "path": []}
        assert loaded.queues[name].model_copy(update=same) == queue.model_copy(update=same)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "jobd.toml"
    path.write_text(
        '[redis]\nurl = "redis://u:hunter2@h"\n[app.env]\nAPI_TOKEN = "hunter2"\nX = { env = "Y" }\n[queues]\nq = "a:b"'
    )
    config = load(path, env={})
    shown = str(show(config)) + show_toml(config) + repr(config)
    assert "redis://u:***@h" in shown
    assert "hunter2" not in shown


def test_schema_knows_every_short_form() -> None:
    document = schema()
    queue = document["$defs"]["QueueTable"]["properties"]
    assert {"type": "boolean"} in queue["keep_failed"]["anyOf"]
    assert queue["kill_after"]["default"] == "10s"
    assert queue["timeout"]["type"] == "string"
    assert any(
        form.get("type") == "string" for form in document["properties"]["queues"]["additionalProperties"]["anyOf"]
    )
    assert document["additionalProperties"] is False


@pytest.mark.parametrize("size", [1, 1000, 1024, 64_000, 512 * 2**20, 10**9, 3 * 10**6 + 1])
def test_sizes_are_spelled_exactly(size: int) -> None:
    assert parse_size(spell_size(size)) == size


def test_locating_loads_the_standard_library_only() -> None:
    code = "import sys, jobd.locate; print(*sorted({m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) <= {"__main__", "jobd"} | {m for m in done.stdout.split() if m.startswith("_")}
