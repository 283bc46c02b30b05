"""The commands `config add-queue` and `remove-queue`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobd.cli import main
from jobd.config.load import load


def test_a_queue_is_added_with_any_key_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobd.toml").write_text('[redis]\nurl = "redis://127.0.0.1:6379/0"\n[queues]\nemail = "a:b"\n')
    words = ["config", "add-queue", "thumbs", "--handler", "shop:thumb", "--workers", "2", "--set", "keep_failed=10"]
    assert main([*words, "--set", "backoff=5s"]) == 0
    path = tmp_path / "jobd.d" / "queue-thumbs.toml"
    assert capsys.readouterr().out == f"wrote {path}\napply with: jobd reload\n"
    queue = load("jobd.toml", env={}).queues["thumbs"]
    assert (queue.workers, queue.keep_failed.count) == (2, 10)
    assert main(["config", "remove-queue", "email"]) == 1
    assert "jobd.toml:4: queue `email` was written by hand" in capsys.readouterr().err
    assert main(["config", "remove-queue", "thumbs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "queue": "thumbs", "path": str(path)}
    assert not path.exists()
    assert main(["config", "remove-queue", "thumbs"]) == 1
    assert main(["config", "add-queue", "x"]) == 2
    assert main(["config", "add-queue", "x", "--handler", "a:b", "--set", "wokers=1"]) == 78
    assert "did you mean `workers`" in capsys.readouterr().err
