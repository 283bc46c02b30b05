"""Secrets that change while a daemon runs: read for each connection, the last known ones when they are gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobd.errors import ConfigError
from jobd.locate import ReadAgain, RedisSource, redis_source


class Written:
    """Reads what a test writes; None cannot be read."""

    def __init__(self, password: str | None) -> None:
        self.password = password

    def read(self) -> RedisSource:
        if self.password is None:
            raise ConfigError("redis.password: gone", ["redis.password: gone"])
        return RedisSource("redis://h/0", password=self.password)


def test_what_is_written_now_counts():
    written = Written("old")
    renewal = ReadAgain(written.read)
    assert renewal.now().password == "old"
    written.password = "new"
    assert renewal.now().password == "new"


def test_while_nothing_can_be_read_the_last_known_ones_are_used_and_then_the_new_ones():
    written = Written("old")
    renewal = ReadAgain(written.read)
    renewal.now()
    written.password = "newer"
    renewal.now()
    written.password = None
    assert [renewal.now().password for _ in range(2)] == ["newer", "newer"]
    written.password = "newest"
    assert renewal.now().password == "newest"


def test_what_could_never_be_read_is_an_error_each_time_and_works_once_it_is_there():
    written = Written(None)
    renewal = ReadAgain(written.read)
    for _ in range(2):
        with pytest.raises(ConfigError, match="gone"):
            renewal.now()
    written.password = "late"
    assert renewal.now().password == "late"


def test_a_refusal_changes_nothing_it_is_read_again_anyway():
    written = Written("old")
    renewal = ReadAgain(written.read)
    renewal.now()
    renewal.refused()
    written.password = None
    assert renewal.now().password == "old"


def test_another_kind_of_error_is_not_hidden_behind_the_last_known_ones():
    def broken() -> RedisSource:
        raise AssertionError

    read: list[Callable[[], RedisSource]] = [Written("old").read, broken]
    renewal = ReadAgain(lambda: read.pop(0)())
    renewal.now()
    with pytest.raises(AssertionError):
        renewal.now()


class TestASecretInAFile:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "jobd.toml").write_text(
            '[redis]\nurl = "redis://127.0.0.1:6379/0"\nprefix = "shop"\npassword = { file = "pw" }\n'
        )
        return tmp_path

    def test_it_survives_the_moment_without_a_file_and_is_read_anew_after_it(self, folder: Path) -> None:
        secret = folder / "pw"
        secret.write_text("old\n")
        source = redis_source(config=folder / "jobd.toml", env={})
        assert source.renewal is not None
        secret.unlink()
        assert source.renewal.now() == source
        secret.write_text("new\n")
        assert (source.renewal.now().password, source.renewal.now().prefix) == ("new", "shop")

    def test_a_file_that_was_never_there_is_told_at_the_start(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match=r"redis\.password"):
            redis_source(config=folder / "jobd.toml", env={})

    def test_where_no_secret_is_named_nothing_is_read_again(self, folder: Path) -> None:
        (folder / "jobd.toml").write_text('[redis]\nurl = "redis://127.0.0.1:6379/0"\npassword = "plain"\n')
        source = redis_source(config=folder / "jobd.toml", env={})
        assert (source.password, source.renewal) == ("plain", None)
