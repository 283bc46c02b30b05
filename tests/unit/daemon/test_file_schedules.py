"""What a host remembers of the schedules it loaded, and how a file's schedules are set."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.config.load import load
from jobd.daemon.file_schedules import FILE_NAME, Loaded, schedules_of
from jobd.engine.schedulers import Policies, Repeat

TEXT = """[app]
name = "shop"
[redis]
url = "redis://127.0.0.1:6379/0"
[queues]
reports = "a:b"
[schedules.nightly]
queue = "reports"
name = "full"
cron = "15 3 * * *"
timezone = "Europe/Athens"
data = { kind = "full" }
priority = 4
limit = 9
start = 2026-06-01T00:00:00Z
overlap = "skip"
catch_up = "none"
jitter = "30s"
[schedules.tick]
queue = "reports"
every = "5m"
"""


def test_a_file_is_read_as_bullmq_has_it(tmp_path: Path) -> None:
    (tmp_path / "jobd.toml").write_text(TEXT)
    nightly, tick = schedules_of(load(tmp_path / "jobd.toml", env={}))
    assert nightly.repeat == Repeat(pattern="15 3 * * *", timezone="Europe/Athens", limit=9, start_at=1_780_272_000_000)
    assert (nightly.template.name, nightly.template.data, nightly.template.opts) == (
        "full", '{"kind":"full"}', '{"priority":4}',
    )  # fmt: skip
    assert nightly.policies == Policies("skip", "none", 30_000)
    assert (nightly.app, nightly.place, nightly.queue) == ("shop", "jobd.toml:7", "reports")
    assert (tick.repeat, tick.template.name, tick.template.data) == (Repeat(every_ms=300_000), "tick", "")


def test_what_was_loaded_outlives_a_restart(tmp_path: Path) -> None:
    (tmp_path / "jobd.toml").write_text(TEXT)
    schedules = schedules_of(load(tmp_path / "jobd.toml", env={}))
    first = Loaded(tmp_path)
    assert first.digest_of("reports", "tick") is None
    first.replace(schedules)
    again = Loaded(tmp_path)
    assert again.daemon == first.daemon
    assert again.digest_of("reports", "tick") == schedules[1].digest


@pytest.mark.parametrize("content", ["", "[]", '{"daemon": "x"}', '{"daemon": 1, "loaded": []}', "\0"])
def test_a_record_that_cannot_be_read_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    found = Loaded(tmp_path)
    assert found.digest_of("reports", "tick") is None
    found.replace([])
    assert Loaded(tmp_path).daemon == found.daemon
