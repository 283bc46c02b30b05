"""The embedded server whose folder, socket or data somebody removed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobd.daemon.embedded import redis_server
from jobd.daemon.embedded.server_life import ServerState
from jobd.engine.connect import sync_client
from jobd.errors import Refused
from jobd.locate import RedisSource
from tests.support.embedded_redis import ask, run, running, settings


@pytest.mark.parametrize("server", ["redis-server", "valkey-server of the wheel"])
@pytest.mark.parametrize("removed", ["run/redis.sock", "state/redis", "run", "state", "state/redis/appendonlydir"])
def test_a_server_whose_files_are_removed_is_started_again_with_all_it_held(
    short_tmp: Path, removed: str, server: str
) -> None:
    given = settings(short_tmp) if server == "redis-server" else settings(short_tmp, server=None)
    text = b"\x00\xff"

    def fill(source: RedisSource) -> None:
        with contextlib.closing(sync_client(source)) as client:
            client.set("text", text)
            client.set("soon", "1", ex=1000)
            client.rpush("list", *range(1000))
            client.xadd("stream", {"a": "b"}, id="5-1")
            client.zadd("set", {"x": 1.5})

    def check(source: RedisSource) -> None:
        assert ask(source, "GET", "text") == text
        assert 900 < int(ask(source, "TTL", "soon")) <= 1000
        assert ask(source, "LRANGE", "list", "0", "-1") == [str(number).encode() for number in range(1000)]
        assert ask(source, "ZSCORE", "set", "x") in (b"1.5", 1.5)
        assert len(ask(source, "XRANGE", "stream", "-", "+")) == 1

    async def main() -> None:
        async with running(given) as (embedded, source):
            await asyncio.to_thread(fill, source)
            first = embedded.pid
            gone = short_tmp / removed
            gone.unlink() if gone.is_socket() else shutil.rmtree(gone)
            while embedded.pid in (None, first) or embedded.life.state is not ServerState.UP:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(check, source)
            assert (short_tmp / "state").stat().st_mode & 0o777 == 0o700
        async with running(given) as (_, source):
            await asyncio.to_thread(check, source)

    run(main())


@pytest.mark.parametrize("moment", ["at once", "while it is saved"])
@pytest.mark.parametrize("removed", ["state/redis", "state", "state/redis/appendonlydir"])
def test_a_stop_right_after_its_data_was_removed_keeps_all_it_held(
    short_tmp: Path, removed: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(short_tmp)
    reached, go_on = asyncio.Event(), asyncio.Event()
    rescue = redis_server.rescue

    async def slow_rescue(*given: Any) -> int:
        reached.set()
        await go_on.wait()
        return await rescue(*given)

    async def main() -> None:
        async with running(given) as (embedded, source):
            assert ask(source, "SET", "kept", "1")
            shutil.rmtree(short_tmp / removed)
            if moment == "while it is saved":
                monkeypatch.setattr(redis_server, "rescue", slow_rescue)
                await reached.wait()
                asyncio.get_running_loop().call_later(0.05, go_on.set)
            pid = embedded.pid
        assert not Path(f"/proc/{pid}").exists()
        async with running(given) as (_, source):
            assert ask(source, "GET", "kept") == b"1"

    run(main())


def test_a_stop_does_not_wait_for_ever_for_data_that_cannot_be_saved(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(*_: object) -> int:
        raise Refused("embedded-failed", "cannot save what the embedded server holds: no room")

    monkeypatch.setattr(redis_server, "rescue", refused)
    monkeypatch.setattr(redis_server, "_SAVE_LIMIT_S", 0.2)

    async def main() -> None:
        async with running(settings(short_tmp)) as (embedded, _):
            shutil.rmtree(short_tmp / "state/redis")
            pid = embedded.pid
        assert not Path(f"/proc/{pid}").exists()

    run(main())
    assert "embedded Redis is stopped unsaved" in caplog.text
