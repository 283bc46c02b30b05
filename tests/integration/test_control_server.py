"""The control socket against clients that do everything wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.daemon.control import answers as outgoing
from jobd.daemon.control import server as control_server
from jobd.daemon.control.listen import listen_privately
from jobd.daemon.control.server import MAX_CONNECTIONS
from jobd.errors import DaemonAway, Refused
from jobd.protocol.control import LINE_MAX
from jobd.protocol.control_client import ControlClient
from tests.support.control_harness import Harness
from tests.support.waiting import wait_until


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[Harness]:
    harness = Harness(short_tmp / "run" / "control.sock")
    harness.run(harness.server.start())
    yield harness
    harness.loop.call_soon_threadsafe(harness.release.set)
    harness.stop()


def raw(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))  # blocking: a full queue of connections is waited for
    sock.settimeout(10)
    return sock


def read_lines(sock: socket.socket, count: int) -> list[dict[str, Any]]:
    data = b""
    while data.count(b"\n") < count:
        piece = sock.recv(1 << 20)
        if not piece:
            break
        data += piece
    return [json.loads(line) for line in data.splitlines()]


HELLO = b'{"jsonrpc": "2.0", "id": 1, "method": "hello"}\n'


def answers(daemon: Harness) -> bool:
    with ControlClient.connect([daemon.path]) as client:
        return client.call("hello", {"a": 1}, timeout=10) == {"schema": 1, "echo": {"a": 1}}


def test_owner_alone_may_connect(daemon: Harness) -> None:
    assert daemon.path.stat().st_mode & 0o777 == 0o600
    assert daemon.path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in daemon.path.parent.iterdir()] == ["control.sock"]
    assert answers(daemon)
    assert (daemon.callers[0].uid, daemon.callers[0].pid) == (os.getuid(), os.getpid())


def test_the_umask_does_not_matter(short_tmp: Path) -> None:
    before = os.umask(0)
    try:
        listen_privately(short_tmp / "c.sock").close()
    finally:
        os.umask(before)
    assert (short_tmp / "c.sock").stat().st_mode & 0o777 == 0o600


def test_another_user_is_told_that_it_is_not_permitted(daemon: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "peer", lambda _sock: (7, 4242))
    with ControlClient.connect([daemon.path]) as client, pytest.raises(Refused) as caught:
        client.call("hello", timeout=10)
    assert (caught.value.code, caught.value.exit_code) == ("not-permitted", 77)
    assert daemon.callers == []


def test_the_client_takes_the_first_that_answers(daemon: Harness, short_tmp: Path) -> None:
    (short_tmp / "file").write_text("")
    listen_privately(short_tmp / "stale.sock").close()
    tried = [short_tmp / "none" / "c.sock", short_tmp / "stale.sock", short_tmp / "file", daemon.path]
    with ControlClient.connect(tried) as client:
        assert client.path == daemon.path
        assert client.peer_pid() == os.getpid()
    with pytest.raises(DaemonAway) as caught:
        ControlClient.connect(tried[:3])
    assert [path for path, _ in caught.value.tried] == [str(path) for path in tried[:3]]
    assert "does not exist" in str(caught.value)
    assert "nobody listens" in str(caught.value)


def test_errors_reach_the_client_as_refusals(daemon: Harness) -> None:
    with ControlClient.connect([daemon.path]) as client:
        with pytest.raises(Refused) as caught:
            client.call("missing", timeout=10)
        assert (caught.value.code, caught.value.exit_code) == ("queue-unknown", 1)
        assert caught.value.detail["known"] == ["email"]
        with pytest.raises(Refused) as caught:
            client.call("crash", timeout=10)
        assert caught.value.code == "internal"
        assert "secret" not in str(caught.value)
        assert client.call("hello", timeout=10)["schema"] == 1


def test_progress_comes_before_the_result(daemon: Harness) -> None:
    told: list[str] = []

    def on_progress(text: str) -> None:
        told.append(text)
        daemon.loop.call_soon_threadsafe(daemon.release.set)

    with ControlClient.connect([daemon.path]) as client:
        assert client.call("slow", on_progress=on_progress, timeout=10)["schema"] == 1
    assert told == ["begun", "nearly"]


def test_a_client_that_goes_away_stops_nothing(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "slow"}\n')
        assert read_lines(sock, 1)[0]["params"]["text"] == "begun"
    daemon.loop.call_soon_threadsafe(daemon.release.set)
    wait_until(lambda: daemon.finished == ["slow"], what="the request comes to its end")
    assert answers(daemon)


def test_no_answer_in_time_is_a_timeout(daemon: Harness) -> None:
    with ControlClient.connect([daemon.path]) as client, pytest.raises(TimeoutError):
        client.call("slow", timeout=0.05)


def test_a_daemon_that_ends_in_between_is_away(short_tmp: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_tmp / "c"))
        listener.listen()
        with ControlClient.connect([short_tmp / "c"]) as client:
            listener.accept()[0].close()
            with pytest.raises(DaemonAway, match=r"went away|broke"):
                client.call("hello", timeout=10)


_LISTENER = """
import sys, socket
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1])
sock.listen()
print("listens", flush=True)
connection = sock.accept()[0]
sys.stdin.readline()
connection.close()
print("closed", flush=True)
sys.stdin.readline()
"""


def test_the_client_can_wait_until_the_process_itself_is_gone(short_tmp: Path) -> None:
    command = [sys.executable, "-c", _LISTENER, str(short_tmp / "c")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        daemon.stdout.readline()
        with ControlClient.connect([short_tmp / "c"]) as client:
            assert client.peer_pid() == daemon.pid
            daemon.stdin.write("\n")
            daemon.stdin.flush()
            daemon.stdout.readline()
            assert not client.wait_gone(0.05), "the connection is closed, the process lives"
            daemon.stdin.write("\n")
            daemon.stdin.flush()
            assert client.wait_gone(10)
            daemon.wait()
            assert client.wait_gone(0), "it was reaped"


def test_a_large_answer_arrives_whole(daemon: Harness) -> None:
    with ControlClient.connect([daemon.path]) as client:
        assert len(client.call("large", timeout=20)["data"]) == 8_000_000


def test_a_reader_that_does_not_read_loses_progress_and_gets_its_answer(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(b'{"jsonrpc": "2.0", "id": 5, "method": "chatty"}\n')
        assert answers(daemon), "others are answered meanwhile"
        wait_until(lambda: daemon.finished == ["chatty"], 30, what="the request comes to its end")
        data = b""
        while b'"id":5,"result"' not in data:
            data += sock.recv(1 << 20)
        assert data.count(b"\n") < 20_000
        for line in data.splitlines():
            json.loads(line)


def test_a_reader_that_never_reads_is_cut_off(daemon: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "WRITE_LIMIT_S", 0.05)
    with raw(daemon.path) as sock:
        sock.sendall(b'{"jsonrpc": "2.0", "id": 5, "method": "large"}\n' * 3)
        wait_until(lambda: not daemon.server._connections, what="the connection is dropped")
    assert answers(daemon)


def test_a_slow_reader_of_a_subscription_is_told_why_it_ends(daemon: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "FEED_LIMIT_S", 0.1)
    with raw(daemon.path) as sock:
        sock.sendall(b'{"jsonrpc": "2.0", "id": 5, "method": "feeding"}\n')
        wait_until(lambda: daemon.finished, what="the server has had enough")
        with sock.makefile("rb") as lines:
            told = [json.loads(next(lines)) for _ in range(len(daemon.finished) + 1)]
            while told[-1].get("method") == "progress":
                told.append(json.loads(next(lines)))
        numbers = [line["params"]["entry"]["n"] for line in told[:-1]]
        assert numbers == list(range(len(numbers))), "none is missing before the end"
        assert told[-1]["error"]["data"]["code"] == "reader-too-slow"
    assert answers(daemon)


def test_a_reader_that_goes_away_ends_its_subscription(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(b'{"jsonrpc": "2.0", "id": 5, "method": "watching"}\n')
        wait_until(lambda: daemon.callers, what="it has begun")
        sock.shutdown(socket.SHUT_WR)
        assert daemon.callers[0].is_there(), "who has asked all may still read"
    wait_until(lambda: daemon.finished == ["gone"], what="it has ended")


@pytest.mark.parametrize(
    ("sent", "code", "request_id"),
    [
        (b"garbage\n", -32700, None),
        (b"\x00\xff\xfe\n", -32700, None),
        (b"[" * 50_000 + b"\n", -32700, None),
        (b"[]\n", -32600, None),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "hello", "params": [1]}\n', -32602, 3),
        (b'{"jsonrpc": "2.0", "id": "x"}\n', -32600, "x"),
        (b"x" * (LINE_MAX + 1) + b"\n", -32600, None),
        (b'{"a": "' + b"x" * 3 * LINE_MAX + b'"}\n', -32600, None),
    ],
)
def test_a_bad_line_gets_its_error_and_the_next_line_its_answer(
    daemon: Harness, sent: bytes, code: int, request_id: Any
) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(sent + HELLO)
        error, good = read_lines(sock, 2)
    assert (error["error"]["code"], error["id"]) == (code, request_id)
    assert good["result"]["schema"] == 1


def test_a_line_of_exactly_one_mebibyte_is_read(daemon: Harness) -> None:
    head, tail = b'{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"a": "', b'"}}'
    with raw(daemon.path) as sock:
        sock.sendall(head + b"x" * (LINE_MAX - len(head) - len(tail)) + tail + b"\n")
        assert "result" in read_lines(sock, 1)[0]


def test_a_line_without_an_end_is_refused_at_once_and_costs_no_memory(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(b"x" * (LINE_MAX + 1))
        assert read_lines(sock, 1)[0]["error"]["data"]["code"] == "line-too-long"
        for _ in range(20):
            sock.sendall(b"y" * LINE_MAX)
        connection = next(iter(daemon.server._connections))
        assert len(connection._lines._buffer) <= LINE_MAX
        sock.sendall(b"\n" + HELLO)
        assert "result" in read_lines(sock, 1)[0]


def test_a_client_that_closed_its_side_still_gets_its_answer(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(HELLO + HELLO.rstrip(b"\n"))
        sock.shutdown(socket.SHUT_WR)
        assert [line["id"] for line in read_lines(sock, 2)] == [1, 1]
        assert sock.recv(1) == b""


def test_blank_lines_are_passed_over_and_notifications_are_not_answered(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(b'\n \r\n{"jsonrpc": "2.0", "method": "hello"}\n' + HELLO)
        assert [line["id"] for line in read_lines(sock, 1)] == [1]
    wait_until(lambda: len(daemon.callers) == 2, what="the notification was performed too")


def test_a_request_that_comes_byte_by_byte_is_answered(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        for byte in HELLO:
            sock.sendall(bytes([byte]))
        assert "result" in read_lines(sock, 1)[0]


def test_two_hundred_connections_are_all_answered(daemon: Harness) -> None:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(raw(daemon.path)) for _ in range(200)]
        for sock in socks:
            sock.sendall(HELLO)
        for sock in socks:
            assert "result" in read_lines(sock, 1)[0]


def test_one_connection_too_many_is_told_so(daemon: Harness) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(raw(daemon.path))
        with raw(daemon.path) as late:
            assert read_lines(late, 1)[0]["error"]["data"]["code"] == "too-many-connections"
    wait_until(lambda: not daemon.server._connections, what="all are gone")
    assert answers(daemon)


def test_random_bytes_harm_nobody(daemon: Harness) -> None:
    rng = random.Random(7)
    for _ in range(150):
        with raw(daemon.path) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            body = bytearray(HELLO * rng.randint(1, 3))
            for _ in range(rng.randint(1, 12)):
                at = rng.randrange(len(body))
                body[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 5))
            sock.sendall(bytes(body))
            if rng.random() < 0.5:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
    assert answers(daemon)


def test_a_socket_of_a_dead_daemon_is_replaced(short_tmp: Path) -> None:
    path = short_tmp / "control.sock"
    listen_privately(path).close()
    with listen_privately(path):
        ControlClient.connect([path]).close()


def test_a_socket_that_answers_is_left_alone(daemon: Harness) -> None:
    with pytest.raises(Refused, match=f"another daemon \\(pid {os.getpid()}\\) answers"):
        listen_privately(daemon.path)
    assert answers(daemon)


def test_what_is_no_socket_is_left_alone(short_tmp: Path) -> None:
    (short_tmp / "control.sock").write_text("precious")
    with pytest.raises(Refused, match="is no socket"):
        listen_privately(short_tmp / "control.sock")
    assert (short_tmp / "control.sock").read_text() == "precious"


def test_a_place_that_cannot_be_used_is_told(short_tmp: Path) -> None:
    (short_tmp / "file").write_text("")
    with pytest.raises(Refused, match="cannot listen at"):
        listen_privately(short_tmp / "file" / "control.sock")


def test_a_long_path_works_for_both_sides(short_tmp: Path) -> None:
    harness = Harness(short_tmp / ("d" * 100) / ("e" * 100) / "control.sock")
    harness.run(harness.server.start())
    try:
        assert answers(harness)
    finally:
        harness.stop()
    assert not harness.path.exists()


@pytest.mark.parametrize("order", [["stop"], ["start", "start"], ["start", "stop", "stop"], ["start", "stop", "start"]])
def test_start_and_stop_bear_any_order(short_tmp: Path, order: list[str]) -> None:
    harness = Harness(short_tmp / "control.sock")
    steps: dict[str, Callable[[], Any]] = {"start": harness.server.start, "stop": harness.server.stop}
    for step in order:
        harness.run(steps[step]())
    assert harness.path.exists() == (order[-1] == "start")
    harness.stop()
    assert not harness.path.exists()


def test_stop_lets_an_answer_under_way_arrive(daemon: Harness) -> None:
    with raw(daemon.path) as sock:
        sock.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "slow"}\n')
        read_lines(sock, 1)
        stopping = asyncio.run_coroutine_threadsafe(daemon.server.stop(), daemon.loop)
        wait_until(lambda: not daemon.path.exists(), what="the socket is gone")
        daemon.loop.call_soon_threadsafe(daemon.release.set)
        assert "result" in read_lines(sock, 2)[1]
        stopping.result(10)
        assert sock.recv(1) == b""


def test_stop_leaves_the_socket_of_another_daemon(daemon: Harness, short_tmp: Path) -> None:
    daemon.path.unlink()
    with listen_privately(daemon.path):
        daemon.run(daemon.server.stop())
        ControlClient.connect([daemon.path]).close()
