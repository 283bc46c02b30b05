"""How connections are opened: bytes, RESP2, no command sent twice, no wait without an end."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
import redis

from jobd.engine.connect import async_client, connection_kwargs, raw_connection, sync_client
from jobd.engine.runner import AsyncRunner, Command, SyncRunner
from jobd.errors import InputError, RedisRefused, RedisUnavailable
from jobd.locate import RedisSource
from tests.support.redis_server import RedisServer


def test_a_cluster_takes_keys_with_a_hash_tag_only() -> None:
    source = RedisSource("redis+cluster://h:1")
    with pytest.raises(InputError, match="hash tag"):
        connection_kwargs(source)
    assert connection_kwargs(source, "bull:{mail}:")["whereabouts"].key == "bull:{mail}:"


@pytest.mark.parametrize(
    "url",
    ["http://h", "h:6379", "", "redis://h:port/0", "redis://h/mail", "redis://h/0?socket_timeout=x", "redis://h/-1"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        sync_client(RedisSource(url))


def test_an_unknown_option_in_the_url_is_told_before_use() -> None:
    with pytest.raises(InputError, match="nonsense"):
        sync_client(RedisSource("redis://h/0?nonsense=1"))
    with pytest.raises(InputError, match="nonsense"):
        raw_connection(RedisSource("redis://h/0?nonsense=1"))


def test_credentials_beside_the_url_win() -> None:
    kwargs = connection_kwargs(RedisSource("redis://a:b@h:1/2", username="u", password="p"))
    assert (kwargs["username"], kwargs["password"], kwargs["host"], kwargs["db"]) == ("u", "p", "h", 2)


def test_a_rediss_url_means_tls() -> None:
    client = sync_client(RedisSource("rediss://h:1/0"))
    assert client.connection_pool.connection_class is redis.connection.SSLConnection


def test_sync_async_and_raw_speak_to_the_same_redis(redis_server: RedisServer, prefix: str) -> None:
    command: Command[int] = Command(("INCR", f"{prefix}:n"), int)

    async def main() -> None:
        async with async_client(RedisSource(redis_server.tcp_url)) as client:
            assert await AsyncRunner(client).run(command) == 2
        raw = raw_connection(RedisSource(redis_server.url), client_name="jobd:test")
        await raw.connect()
        await raw.send_command("CLIENT", "GETNAME")
        assert await raw.read_response() == b"jobd:test"
        await raw.disconnect()

    with sync_client(RedisSource(redis_server.url)) as client:
        assert SyncRunner(client).run(command) == 1
        asyncio.run(main())
        assert SyncRunner(client).run(Command(("GET", f"{prefix}:n"), bytes)) == b"2"


def test_a_wrong_password_is_refused_not_unavailable(redis_server: RedisServer) -> None:
    source = RedisSource(redis_server.url, username="nobody", password="wrong")
    with sync_client(source) as client, pytest.raises(RedisRefused):
        SyncRunner(client).run(Command(("PING",), bytes))


class DropsAfterReading:
    """A server that greets, then reads each command and closes the connection; it counts what it read."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        self.commands: list[bytes] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    count = data.count(b"CLIENT") + data.count(b"SELECT")
                    if b"INCR" in data:
                        self.commands.append(data)
                        break
                    connection.sendall(b"+OK\r\n" * max(count, 1))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


def test_a_command_whose_connection_breaks_is_sent_once() -> None:
    server = DropsAfterReading()
    command: Command[int] = Command(("INCR", "n"), int)

    async def main() -> None:
        async with async_client(RedisSource(server.url)) as client:
            with pytest.raises(RedisUnavailable):
                await AsyncRunner(client).run(command)

    try:
        with sync_client(RedisSource(server.url)) as client, pytest.raises(RedisUnavailable):
            SyncRunner(client).run(command)
        assert len(server.commands) == 1
        asyncio.run(main())
        assert len(server.commands) == 2
    finally:
        server.close()
