"""A booted systemd with jobd's units, users, a virtualenv at /opt/jobd and an application at /srv/app."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.cli.commands.systemd import UNITS
from tests.support.systemd_sandbox import SystemdSandbox, need_systemd

ROOT = Path(__file__).parents[2]
CONFIG = "/etc/jobd/jobd.toml"
UNIT_FOLDER = "/etc/systemd/system"

HANDLERS = """
import time

def send(job):
    return {"sent": job.data}

def until_stopped(job):
    while job.data["for_ever"] or not job.stopping:
        time.sleep(0.02)
    return "stopped in time"
"""

BASE = """
[app]
path = ["/srv/app"]

[redis]
embedded = true

[daemon]
grace = "2s"

[queues.email]
handler = "handlers:send"

[queues.long]
handler = "handlers:until_stopped"
concurrency = 2
"""


@contextlib.contextmanager
def booted() -> Iterator[SystemdSandbox]:
    """Boot one; skip where that is not possible."""
    need_systemd()
    with tempfile.TemporaryDirectory(prefix="jobd-systemd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sandbox = SystemdSandbox(folder / "boot", binds=_binds(folder))
        try:
            sandbox.start()
            sandbox.write("/etc/ld.so.conf.d/python.conf", "/opt/python/lib\n")
            sandbox.must("ldconfig")
            sandbox.write("/etc/sysusers.d/jobd.conf", (ROOT / "systemd" / "jobd.sysusers.conf").read_text())
            sandbox.must("systemd-sysusers")
            for unit in UNITS:
                sandbox.write(f"{UNIT_FOLDER}/{unit}", (ROOT / "systemd" / unit).read_text())
            sandbox.write("/srv/app/handlers.py", HANDLERS)
            yield sandbox
        finally:
            sandbox.stop()


def clean_up(machine: SystemdSandbox) -> None:
    """End jobd however it is, and remove its state and the drop-ins of a test."""
    machine.run("systemctl stop jobd.socket; systemctl kill --signal=KILL jobd; systemctl stop jobd")
    machine.run(f"rm -rf /var/lib/jobd/* /run/jobd {UNIT_FOLDER}/jobd*.d; systemctl daemon-reload")
    machine.run("systemctl reset-failed jobd.service jobd.socket")


def journal(machine: SystemdSandbox, unit: str = "jobd") -> str:
    """Return the end of a unit's log, for a failure's message."""
    return machine.run(f"systemctl status {unit}; journalctl -u {unit} | tail -50").stdout


def _binds(folder: Path) -> dict[str, Path]:
    """A virtualenv under /opt, made of this interpreter and its packages: /root and /home are closed to services."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    venv, base = folder / "venv", Path(sys.base_prefix)
    site = venv / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (site / "jobd.pth").write_text("/opt/packages\n/opt/source\n")
    (venv / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(f"/opt/python/bin/{version}")
    command = venv / "bin" / "jobd"
    command.write_text("#!/opt/jobd/bin/python\nimport sys\nfrom jobd.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    packages = Path(pytest.__file__).parents[1]
    return {"/opt/jobd": venv, "/opt/python": base, "/opt/packages": packages, "/opt/source/jobd": ROOT / "jobd"}


def as_jobd(arguments: str) -> str:
    """The command as root types it: the socket is found at /run/jobd without being told."""
    return f"/opt/jobd/bin/jobd {arguments}"


def status_of(sandbox: SystemdSandbox) -> dict[str, Any]:
    return json.loads(sandbox.run(as_jobd("status --json")).stdout)


def queues_of(sandbox: SystemdSandbox) -> dict[str, dict[str, Any]]:
    return {queue["name"]: queue for queue in status_of(sandbox)["queues"]}


def pids_of(status: dict[str, Any]) -> list[int]:
    return [worker["pid"] for queue in status["queues"] for worker in queue["workers"]]


def add_job(sandbox: SystemdSandbox, queue: str, data: dict[str, Any]) -> str:
    added = json.loads(sandbox.must(as_jobd(f"job add {queue} wait '{json.dumps(data)}' --json")))
    return str(added["job"]["id"])


def show_job(sandbox: SystemdSandbox, queue: str, job_id: str) -> dict[str, Any]:
    return dict(json.loads(sandbox.must(as_jobd(f"job show {queue} {job_id} --json")))["job"])
