"""What a real server says when it refuses, plainly and inside a script, is told apart by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.engine.connect import sync_client
from jobd.engine.keys import Keys
from jobd.engine.runner import Command, SyncRunner
from jobd.engine.trouble import Trouble
from jobd.engine.turn import Note, annotate
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.locate import RedisSource
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


@pytest.fixture
def server(short_tmp: Path) -> Iterator[RedisServer]:
    """A server of this test alone whose settings may be spoilt."""
    server = RedisServer(short_tmp / "redis", tcp=True).start()
    yield server
    server.stop()


def source(server: RedisServer, **parts: Any) -> RedisSource:
    return RedisSource(**{"url": server.url, "prefix": "p", "origin": "test", **parts})


SET: Command[Any] = Command(("SET", "k", "v"), lambda reply: reply)
GET: Command[Any] = Command(("GET", "k"), lambda reply: reply)
IN_SCRIPT = annotate(Keys("p", "q"), [Note("log", "1", b"line")])


def refusal(server: RedisServer, command: Command[Any], **parts: Any) -> RedisRefused | RedisUnavailable:
    with sync_client(source(server, **parts)) as client:
        try:
            SyncRunner(client).run(command)
        except (RedisRefused, RedisUnavailable) as error:
            return error
    raise AssertionError("nothing was refused")


def fill(r: redis.Redis) -> None:
    r.config_set("maxmemory", 1)


def replicate(r: redis.Redis) -> None:
    r.replicaof("127.0.0.1", "1")


def want_replicas(r: redis.Redis) -> None:
    r.config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize(
    ("spoil", "trouble", "code"),
    [
        (fill, Trouble.MEMORY_FULL, "OOM"),
        (replicate, Trouble.READ_ONLY, "READONLY"),
        (want_replicas, Trouble.TOO_FEW_REPLICAS, "NOREPLICAS"),
    ],
)
@pytest.mark.parametrize("command", [SET, IN_SCRIPT], ids=["plain", "in a script"])
def test_a_refused_write_says_why(
    server: RedisServer, spoil: Callable[[redis.Redis], None], trouble: Trouble, code: str, command: Command[Any]
) -> None:
    with server.client() as r:
        r.hset("p:q:1", "name", "n")
        spoil(r)
        error = refusal(server, command)
    assert isinstance(error, RedisRefused)
    assert error.trouble is trouble
    assert code in str(error)


@pytest.mark.parametrize("command", [SET, IN_SCRIPT], ids=["plain", "in a script"])
def test_a_server_that_cannot_save_says_so(server: RedisServer, command: Command[Any]) -> None:
    with server.client() as r:
        r.hset("p:q:1", "name", "n")
        r.config_set("save", "3600 1")
        (server.folder / "dump.rdb").mkdir()  # no snapshot can be renamed to that
        (server.folder / "dump.rdb" / "x").touch()
        r.bgsave()
        wait_until(lambda: r.info("persistence")["rdb_last_bgsave_status"] == "err", 20)
        error = refusal(server, command)
    assert (type(error), error.trouble) == (RedisRefused, Trouble.CANNOT_SAVE)


@pytest.mark.parametrize("command", [SET, IN_SCRIPT], ids=["plain", "in a script"])
def test_a_key_of_a_wrong_type_is_named_so(server: RedisServer, command: Command[Any]) -> None:
    with server.client() as r:
        r.hset("p:q:1", "name", "n")
        r.set("p:q:1:logs", "text")
    wrong: Command[Any] = Command(("LPUSH", "p:q:1", "x"), lambda reply: reply)
    error = refusal(server, wrong if command is SET else command)
    assert (type(error), error.trouble) == (RedisRefused, Trouble.WRONG_TYPE)


@pytest.mark.parametrize("parts", [{}, {"password": "wrong"}], ids=["none", "wrong"])
def test_refused_credentials_are_told_as_such(server: RedisServer, parts: dict[str, str]) -> None:
    with server.client() as r:
        r.config_set("requirepass", "secret")
        error = refusal(server, SET, **parts)
    assert (type(error), error.trouble) == (RedisRefused, Trouble.CREDENTIALS)


@pytest.mark.parametrize("command", [SET, IN_SCRIPT], ids=["plain", "in a script"])
def test_a_missing_right_is_told_as_such(server: RedisServer, command: Command[Any]) -> None:
    with server.client() as r:
        r.hset("p:q:1", "name", "n")
        r.acl_setuser(
            "low", enabled=True, passwords=["+pw"], categories=["+@all"], commands=["-set", "-rpush"], keys=["*"]
        )
        error = refusal(server, command, username="low", password="pw")
    assert (type(error), error.trouble) == (RedisRefused, Trouble.NO_PERMISSION)


def test_too_many_clients_end_by_themselves(server: RedisServer) -> None:
    with server.client() as r:
        r.config_set("maxclients", 1)
        # The server says so and hangs up; whoever writes before it reads only finds the broken connection.
        seen = wait_until(lambda: _too_many(refusal(server, GET, url=server.tcp_url)), 20)
    assert isinstance(seen, RedisUnavailable)
    assert not seen.may_have_run


def _too_many(error: RedisRefused | RedisUnavailable) -> RedisRefused | RedisUnavailable | None:
    return error if error.trouble is Trouble.TOO_MANY_CLIENTS else None


def test_a_busy_script_ends_by_itself(server: RedisServer) -> None:
    with server.client() as r, server.client() as killer:
        r.config_set("busy-reply-threshold", 1)

        def spin() -> None:
            with pytest.raises(redis.ResponseError):
                r.eval("while true do end", 0)

        thread = threading.Thread(target=spin)
        thread.start()
        try:
            wait_until(lambda: _is_busy(killer), 20)
            error = refusal(server, GET)
        finally:
            wait_until(lambda: _kill(killer), 20)
            thread.join()
    assert (type(error), error.trouble) == (RedisUnavailable, Trouble.BUSY)


def _is_busy(r: redis.Redis) -> bool:
    try:
        r.ping()
    except redis.ResponseError:
        return True
    return False


def _kill(r: redis.Redis) -> bool:
    try:
        r.script_kill()
    except redis.ResponseError:
        return False
    return True


def test_a_database_that_does_not_exist_is_named_so(server: RedisServer) -> None:
    error = refusal(server, GET, url=f"{server.tcp_url}/99")
    assert error.trouble is Trouble.NO_SUCH_DATABASE


def test_nobody_there_is_away(server: RedisServer) -> None:
    server.stop()
    error = refusal(server, SET)
    assert (type(error), error.trouble) == (RedisUnavailable, Trouble.AWAY)
