"""A start that takes long is given its time: systemd is asked for more while the application is being imported."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon_process import DaemonProcess
from tests.support.notify_socket import NotifySocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SLOW = """
import os, pathlib, time

def wait(name):
    pathlib.Path(os.environ["SLOW"], name + ".begun").touch()
    while not pathlib.Path(os.environ["SLOW"], name + ".end").exists():
        time.sleep(0.01)

wait("import")

def setup():
    wait("setup")

def run(job):
    return 1
"""


def test_systemd_is_asked_for_time_during_imports_and_setup_and_no_more_once_it_is_ready(
    short_tmp: Path, redis_server: RedisServer, prefix: str
) -> None:
    (short_tmp / "slow_start.py").write_text(SLOW)

    def asked(manager: NotifySocket) -> int:
        return sum("EXTEND_TIMEOUT_USEC" in message for message in manager.read())

    with (
        # The watchdog makes the pulse quick: a beat each half a second instead of each five.
        NotifySocket(short_tmp / "n") as manager,
        DaemonProcess(
            short_tmp / "d", redis_server.url, '[queues.a]\nhandler = "slow_start:run"\nsetup = "slow_start:setup"\n',
            prefix=prefix, env={**manager.env, "SLOW": str(short_tmp), "WATCHDOG_USEC": "1000000",
                                "PYTHONPATH": str(short_tmp)},
        ) as daemon,
    ):  # fmt: skip
        daemon.head = ""
        daemon.config.write_text(daemon.config.read_text().replace('path = ["', f'path = ["{short_tmp}", "', 1))
        daemon.start()
        for stage in ("import", "setup"):
            wait_until((short_tmp / f"{stage}.begun").exists, 20, what=f"the {stage} runs")
            before = asked(manager)
            wait_until(lambda before=before: asked(manager) >= before + 2, 20, what=f"time is asked for in the {stage}")
            assert not any("READY" in message for message in manager.read())
            (short_tmp / f"{stage}.end").touch()
        manager.wait_for("READY")
        told = manager.read()
        ready = next(index for index, message in enumerate(told) if "READY" in message)
        wait_until(lambda: sum("WATCHDOG" in message for message in manager.read()[ready:]) >= 3, 20)
        assert not any("EXTEND_TIMEOUT_USEC" in message for message in manager.read()[ready + 1 :])
