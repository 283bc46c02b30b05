"""Append-only files that a power cut, a half backup or a tidy person has left to the embedded server."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.daemon.embedded.redis_server import EmbeddedRedis
from jobd.errors import Refused
from tests.support.embedded_redis import ask, run, running, settings


@pytest.fixture
def files(short_tmp: Path) -> Path:
    """The files of a server that holds two keys."""

    async def main() -> None:
        async with running(settings(short_tmp)) as (_, source):
            ask(source, "SET", "first", "1")
            ask(source, "SET", "last", "2")

    run(main())
    return short_tmp / "state" / "redis" / "appendonlydir"


def newest(files: Path) -> Path:
    return files / "appendonly.aof.1.incr.aof"


def kept(short_tmp: Path) -> list[bytes | None]:
    async def main() -> list[bytes | None]:
        async with running(settings(short_tmp)) as (_, source):
            return [ask(source, "GET", name) for name in ("first", "last")]

    found: list[bytes | None] = run(main())
    return found


def test_without_the_list_of_its_files_it_does_not_begin_empty(short_tmp: Path, files: Path) -> None:
    manifest = files / "appendonly.aof.manifest"
    written, data = manifest.read_bytes(), newest(files).read_bytes()
    manifest.unlink()
    with pytest.raises(
        Refused, match=r"appendonly\.aof\.manifest is missing: .* write over appendonly\.aof\.1\.incr\.aof"
    ):
        run(EmbeddedRedis(settings(short_tmp)).start())
    assert newest(files).read_bytes() == data
    manifest.write_bytes(written)
    assert kept(short_tmp) == [b"1", b"2"]


@pytest.mark.parametrize("zeros", [1, 4096, 10_000])
def test_zeros_that_a_power_cut_left_at_the_end_are_cut_off(short_tmp: Path, files: Path, zeros: int) -> None:
    whole = newest(files).read_bytes()
    newest(files).write_bytes(whole + bytes(zeros))
    assert kept(short_tmp) == [b"1", b"2"]
    assert newest(files).read_bytes().startswith(whole.rstrip(b"\0"))


def test_a_file_of_nothing_but_zeros_is_an_empty_one(short_tmp: Path, files: Path) -> None:
    newest(files).write_bytes(bytes(9_000))
    assert kept(short_tmp) == [None, None]


def test_damage_in_the_middle_is_told_with_the_command_that_mends(short_tmp: Path, files: Path) -> None:
    content = newest(files).read_bytes()
    newest(files).write_bytes(content[:40] + b"\xff" * 20 + content[60:])
    with pytest.raises(Refused, match=r"damaged; .* ln -s (\S+) (/tmp/\w+-check-aof); \2 --fix .*manifest; it said: "):
        run(EmbeddedRedis(settings(short_tmp)).start())
