from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jobd.daemon.control.listen import bind
from jobd.daemon.control.socket_activation import PassedSockets, take_passed
from jobd.errors import Refused
from jobd.exits import Exit

_TAKE = """
import os, socket, sys
from jobd.daemon.control.socket_activation import take_passed
from jobd.errors import Refused
given = {given}
os.dup2(given.fileno(), 3)
try:
    passed = take_passed({{"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}})
except Refused as error:
    sys.exit(error.exit_code)
assert not os.get_inheritable(3)
"""


@pytest.fixture
def listening(short_tmp: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(short_tmp / "control.sock"))
    sock.listen()
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("given", [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
                                   {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}])  # fmt: skip
def test_what_was_passed_to_another_process_is_not_taken(given: dict[str, str], tmp_path: Path) -> None:
    assert take_passed(given).at(tmp_path / "control.sock") is None


@pytest.mark.parametrize(("given", "code"), [
    ("socket.create_server(('127.0.0.1', 0))", Exit.CONFIG),
    ("open(os.devnull)", Exit.CONFIG),
    ("socket.socket(socket.AF_UNIX)", Exit.CONFIG),
    ("socket.socketpair()[0]", Exit.CONFIG),
])  # fmt: skip
def test_what_is_no_listening_unix_socket_is_refused(given: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", _TAKE.format(given=given)], capture_output=True, check=False)
    assert done.returncode == code, done.stderr


def test_a_passed_socket_is_used_and_left_where_it_is(listening: socket.socket, short_tmp: Path) -> None:
    path = short_tmp / "control.sock"
    passed = PassedSockets([listening])
    passed.check(path, status_too=False)
    (short_tmp / "link").symlink_to(short_tmp)
    assert passed.at(short_tmp / "link" / "control.sock") is listening
    bound = bind(path, passed=passed.at(path))
    assert bound.sock is listening
    bound.remove()
    assert path.is_socket()
    listening.close()


def test_where_its_file_is_gone_an_own_one_is_made(listening: socket.socket, short_tmp: Path) -> None:
    path = short_tmp / "control.sock"
    path.unlink()
    bound = bind(path, passed=listening)
    assert bound.sock is not listening
    bound.sock.close()
    listening.close()


def test_a_socket_that_the_daemon_has_not_is_refused(listening: socket.socket, short_tmp: Path) -> None:
    with pytest.raises(Refused, match="ListenStream=") as refused:
        PassedSockets([listening]).check(short_tmp / "other.sock", status_too=True)
    assert refused.value.exit_code == Exit.CONFIG
    listening.close()


def test_who_waits_is_told_why_the_daemon_does_not_start(listening: socket.socket, short_tmp: Path) -> None:
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for client in clients:
        client.connect(str(short_tmp / "control.sock"))
        client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "status"}\n')
    PassedSockets([listening]).refuse_waiting(Refused("nope", "no such thing"))
    for client in clients:
        client.settimeout(5)
        with client, client.makefile("rb") as answers:
            assert json.loads(answers.read())["error"]["message"] == "no such thing"
    listening.close()
