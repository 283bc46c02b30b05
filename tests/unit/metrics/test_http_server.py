"""The server of the numbers: three paths, and nothing that a client does harms another."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.errors import Refused
from jobd.metrics.http_server import NumbersServer, Page

PAGES = {"/metrics": lambda accept: Page(200, f"accept={accept}".encode()), "/livez": lambda accept: Page(503, b"no\n")}


@pytest.fixture
def server() -> Iterator[NumbersServer]:
    made = NumbersServer("127.0.0.1:0", PAGES)
    made.start()
    yield made
    made.stop()


def ask(server: NumbersServer, method: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = (answer.status, answer.read().decode())
    connection.close()
    return found


def test_paths(server: NumbersServer) -> None:
    assert ask(server, "GET", "/metrics?x=1", Accept="text/plain") == (200, "accept=text/plain")
    assert ask(server, "HEAD", "/metrics") == (200, "")
    assert ask(server, "GET", "/livez") == (503, "no\n")
    assert ask(server, "GET", "/")[0] == ask(server, "GET", "/metrics/x")[0] == 404
    assert ask(server, "POST", "/metrics")[0] == 501


def test_who_says_nothing_or_nonsense_is_nobodys_trouble(server: NumbersServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
    with socket.create_connection(("127.0.0.1", server.port)) as mad:
        mad.sendall(b"\xff\x00\r\n\r\n")
        assert mad.recv(100)
    assert ask(server, "GET", "/metrics")[0] == 200
    for sock in silent:
        sock.close()


def test_a_unix_socket_is_made_and_removed(short_tmp: Path) -> None:
    path = short_tmp / "n.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    server = NumbersServer(f"unix:{path}", PAGES)
    server.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").readline() == b"HTTP/1.0 200 OK\r\n"
    server.stop()
    server.stop()
    assert not path.exists()


def test_an_address_in_use_is_told(server: NumbersServer) -> None:
    other = NumbersServer(f"127.0.0.1:{server.port}", PAGES)
    with pytest.raises(Refused, match=r"\[daemon\] http"):
        other.start()
    other.stop()
