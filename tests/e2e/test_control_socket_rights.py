"""Who may use the control socket: its owner and root, and the groups that the file names."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_process import ROOT, DaemonProcess
from tests.support.redis_server import RedisServer

OK = '[queues.a]\nhandler = "daemon_handlers:ok"\n'


AS_ANOTHER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import json
from pathlib import Path
from jobd.protocol.control_client import ControlClient
from jobd.errors import Refused
os.setgroups([int(sys.argv[3])]); os.setgid(65534); os.setuid(65534)
for method in sys.argv[4:]:
    try:
        with ControlClient.connect([Path(sys.argv[2])]) as client:
            print(client.path.name, method, "ok" if client.call(method, timeout=10)["schema"] == 1 else "?")
    except Refused as error:
        print(method, error.exit_code, error.code)
        print(error, file=sys.stderr)
"""


def as_another(daemon: DaemonProcess, gid: int, *methods: str) -> list[str]:
    return _ask(daemon, gid, *methods).stdout.splitlines()


def refusal(daemon: DaemonProcess, gid: int, method: str) -> str:
    return _ask(daemon, gid, method).stderr


def _ask(daemon: DaemonProcess, gid: int, *methods: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", AS_ANOTHER, str(ROOT), str(daemon.socket), str(gid), *methods]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_gets_77(short_tmp: Path, redis_server: RedisServer, prefix: str) -> None:
    with DaemonProcess(short_tmp / "d", redis_server.url, OK, prefix=prefix) as daemon:
        daemon.start_ready()
        assert as_another(daemon, 65534, "hello") == ["hello 77 not-permitted"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_groups_may_do_everything_or_only_read(short_tmp: Path, redis_server: RedisServer, prefix: str) -> None:
    everything, reading, neither = (grp.getgrnam(name).gr_gid for name in ("daemon", "games", "mail"))
    short_tmp.chmod(0o711)
    with DaemonProcess(short_tmp / "d", redis_server.url, OK, prefix=prefix) as daemon:
        groups = 'socket_group = "daemon"\nstatus_group = "games"\n'
        daemon.config.write_text(daemon.config.read_text().replace("[daemon]\n", "[daemon]\n" + groups))
        daemon.folder.chmod(0o700)
        daemon.start_ready()
        assert daemon.socket.stat().st_mode & 0o777 == 0o660
        assert (daemon.folder / "state").stat().st_mode & 0o077 == 0
        assert as_another(daemon, everything, "hello", "quiet") == ["control.sock hello ok", "control.sock quiet ok"]
        assert as_another(daemon, reading, "status", "unquiet", "stop", "plan") == [
            "status.sock status ok", "unquiet 77 not-permitted", "stop 77 not-permitted", "plan 77 not-permitted",
        ]  # fmt: skip
        assert "logs shows more than [daemon] status_group may see" in refusal(daemon, reading, "logs")
        assert "quiet changes something, and the status socket only reads" in refusal(daemon, reading, "quiet")
        assert as_another(daemon, neither, "hello") == ["hello 77 not-permitted"]
        assert daemon.stop() == 0
        assert not (daemon.folder / "status.sock").exists()


def test_an_unknown_group_ends_the_start_with_78(short_tmp: Path, redis_server: RedisServer, prefix: str) -> None:
    with DaemonProcess(short_tmp / "d", redis_server.url, OK, prefix=prefix) as daemon:
        daemon.config.write_text(
            daemon.config.read_text().replace("[daemon]\n", '[daemon]\nsocket_group = "nobodys"\n')
        )
        assert daemon.start().wait() == 78
        assert 'no such group: "nobodys"' in daemon.log_tail()
