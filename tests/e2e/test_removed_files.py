"""Somebody removes the daemon's folder under it: it is made again, and nothing of an embedded server is lost."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from jobd.client import Queue
from tests.support.daemon_process import DaemonProcess
from tests.support.waiting import wait_until

QUEUES = """
[queues.mail]
handler = "daemon_handlers:ok"
[queues.later]
handler = "daemon_handlers:ok"
quiet = true
"""


def test_a_removed_folder_is_made_again_with_what_its_server_held(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = short_tmp / "d"
    with DaemonProcess(folder, "embedded", QUEUES) as daemon:
        # Everything in one folder, as it is beside a file of one's own.
        daemon.socket = folder / "state" / "control.sock"
        daemon.write(QUEUES)
        daemon.start_ready()
        monkeypatch.setenv("JOBD_CONFIG", str(daemon.config))
        with Queue("later") as later:
            kept = [later.add("x").id for _ in range(3)]
        shutil.rmtree(folder / "state")
        wait_until(lambda: daemon.logged("embedded Redis lost its files: it is started again"), 20)
        wait_until(lambda: daemon.logged("control socket listens again"), 20)
        wait_until(lambda: daemon.logged("state folder was removed: it is made again"), 20)
        wait_until(lambda: daemon.status()["state"] == "ready" and daemon.status()["redis"]["up"], 20)
        # New connections, and new workers, which the record of this start must name first.
        with Queue("mail") as mail:
            assert mail.add("x").wait(timeout=20)
            [pid] = daemon.worker_pids("mail")
            os.kill(pid, signal.SIGKILL)
            assert mail.add("x").wait(timeout=20)
        with DaemonProcess(short_tmp / "e", "embedded", QUEUES) as second:
            second.socket, second.folder = short_tmp / "e" / "control.sock", folder
            second.config.write_text(daemon.config.read_text().replace(str(daemon.socket), str(second.socket)))
            second.start()
            assert second.wait() == 1
            assert f"another daemon (pid {daemon.pid}) uses the state folder" in second.log_tail()
        assert daemon.stop() == 0
        daemon.write(QUEUES.replace("quiet = true", ""))
        daemon.start_ready()
        with Queue("later") as later:
            wait_until(lambda: later.counts()["completed"] == len(kept), 20, what="what was kept runs")
        # A moment before the end, too: nobody would look for it any more.
        shutil.rmtree(folder / "state")
        assert daemon.stop() == 0
        daemon.start_ready()
        with Queue("later") as later:
            assert later.counts()["completed"] == len(kept)
        assert daemon.stop() == 0
