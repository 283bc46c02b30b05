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
    Path("shop.py").write_text("def thumb(job): pass\n")
    words = ["config", "add-queue", "thumbs", "--handler", "shop:thumb", "--workers", "2", "--set", "keep_failed=10"]
    assert main([*words, "--set", "backoff=5s"]) == 0
    path = tmp_path / "jobd.d" / "queue-thumbs.toml"
    assert capsys.readouterr() == (f"wrote {path}\napply with: jobd reload\n", "")
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


def test_a_handler_that_does_not_import_is_a_warning_because_its_code_may_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Only the new queue is looked at: what else is wrong is not this command's doing.
    Path("jobd.toml").write_text('[redis]\nurl = "redis://127.0.0.1:6379/0"\n[queues]\nemail = "a:b"\n')
    Path("shop.py").write_text("def thumb(job): pass\n")
    assert main(["config", "add-queue", "thumbs", "--handler", "shop:thum"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("wrote ")
    assert told.err.startswith("warning: jobd reload and the next start are refused until this is mended\n")
    assert "jobd.d/queue-thumbs.toml:3:12  cannot import `shop:thum`" in told.err
    assert "did you mean `thumb`?" in told.err
    assert "a:b" not in told.err
    assert main(["config", "add-queue", "more", "--handler", "nowhere:at_all", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [warning.partition(" ")[0] for warning in document["warnings"]] == ["jobd.d/queue-more.toml:3:12"]
