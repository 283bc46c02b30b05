"""The shipped unit under a real systemd: what systemctl returns is what happened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.systemd_sandbox import SystemdSandbox, need_systemd
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_UNIT = _ROOT / "systemd" / "jobd.service"
_WEB_UNIT = _ROOT / "systemd" / "jobd-web.service"
_CONFIG = "/etc/jobd/jobd.toml"

pytestmark = pytest.mark.systemd

_HANDLERS = """
import time

def send(job):
    return {"sent": job.data}

def until_stopped(job):
    while job.data["for_ever"] or not job.stopping:
        time.sleep(0.02)
    return "stopped in time"
"""

_BASE = """
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


@pytest.mark.parametrize("unit", [_UNIT, _WEB_UNIT], ids=["daemon", "page"])
def test_the_unit_is_valid_and_tight(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stdout[-500:]  # the threshold is ten times the exposure


@pytest.fixture(scope="module")
def machine() -> Iterator[SystemdSandbox]:
    """A systemd with the unit, its user, a virtualenv at /opt/jobd and an application at /srv/app."""
    need_systemd()
    with tempfile.TemporaryDirectory(prefix="jobd-systemd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sandbox = SystemdSandbox(folder / "boot", binds=_binds(folder))
        try:
            sandbox.start()
            sandbox.write("/etc/ld.so.conf.d/python.conf", "/opt/python/lib\n")
            sandbox.must("ldconfig")
            sandbox.write("/etc/sysusers.d/jobd.conf", (_ROOT / "systemd" / "jobd.sysusers.conf").read_text())
            sandbox.must("systemd-sysusers")
            sandbox.write("/etc/systemd/system/jobd.service", _UNIT.read_text())
            sandbox.write("/etc/systemd/system/jobd-web.service", _WEB_UNIT.read_text())
            sandbox.write("/srv/app/handlers.py", _HANDLERS)
            yield sandbox
        finally:
            sandbox.stop()


@pytest.fixture
def running(machine: SystemdSandbox) -> Iterator[SystemdSandbox]:
    """The machine with jobd started on the file above; stopped and emptied afterwards."""
    machine.write(_CONFIG, _BASE)
    started = machine.run("systemctl start jobd")
    assert started.returncode == 0, machine.run("systemctl status jobd; journalctl -u jobd | tail -50").stdout
    yield machine
    machine.run("systemctl kill --signal=KILL jobd; systemctl stop jobd; systemctl reset-failed jobd")
    machine.run("rm -rf /var/lib/jobd/* /etc/systemd/system/jobd.service.d; systemctl daemon-reload")


def test_start_returns_when_the_workers_are_ready(running: SystemdSandbox) -> None:
    assert running.must("systemctl is-active jobd").strip() == "active"
    assert running.run(_as_jobd("health --ready")).returncode == 0
    added = running.must(_as_jobd("job add email welcome '{\"userId\": 7}' --wait"))
    assert '"userId": 7' in added


def test_reload_returns_when_the_new_queue_has_a_worker(running: SystemdSandbox) -> None:
    running.write(_CONFIG, _BASE + '\n[queues.reports]\nhandler = "handlers:send"\n')
    running.must("systemctl reload jobd")
    assert {"email", "long", "reports"} == set(_queues(running))
    assert _queues(running)["reports"]["workers"][0]["state"] == "ready"


def test_a_reload_that_fails_fails_systemctl_and_changes_nothing(running: SystemdSandbox) -> None:
    before = _status(running)
    running.write(_CONFIG, _BASE + '\n[queues.reports]\nhandler = "handlers:sendd"\n')
    assert running.run("systemctl reload jobd").returncode != 0
    after = _status(running)
    assert after["generation"] == before["generation"]
    assert _pids(after) == _pids(before)
    assert running.must("systemctl is-active jobd").strip() == "active"


def test_stop_waits_for_what_ends_within_grace_and_hands_back_the_rest(running: SystemdSandbox) -> None:
    ends = _add(running, "long", {"for_ever": False})
    goes_on = _add(running, "long", {"for_ever": True})
    wait_until(lambda: _queues(running)["long"]["busy"] == 2, 30, what="both jobs run", every=0.1)
    running.must("systemctl stop jobd")
    assert running.must("systemctl show -P Result jobd").strip() == "success"

    running.write(_CONFIG, _BASE + "quiet = true\n")  # of [queues.long]: nothing is taken again
    running.must("systemctl start jobd")
    assert _job(running, "long", ends)["state"] == "completed"
    handed_back = _job(running, "long", goes_on)
    assert (handed_back["state"], handed_back["attempts_made"]) == ("waiting", 0)


def test_a_hanging_daemon_is_killed_by_the_watchdog_and_started_again(running: SystemdSandbox) -> None:
    running.write("/etc/systemd/system/jobd.service.d/test.conf", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    running.must("systemctl daemon-reload && systemctl restart jobd")
    first = running.must("systemctl show -P MainPID jobd").strip()
    running.must(f"kill -STOP {first}")
    wait_until(lambda: running.must("systemctl show -P NRestarts jobd").strip() != "0", 20, what="restarted", every=0.2)
    wait_until(lambda: running.run("systemctl is-active jobd").returncode == 0, 20, what="active again", every=0.2)
    assert running.must("systemctl show -P MainPID jobd").strip() != first
    running.must(_as_jobd("job add email welcome '{}' --wait"))


def test_a_wrong_file_ends_the_start_with_78_and_is_not_tried_again(machine: SystemdSandbox) -> None:
    machine.write(_CONFIG, _BASE.replace("concurrency", "concurency"))
    try:
        assert machine.run("systemctl start jobd").returncode != 0
        shown = machine.must("systemctl show -p ExecMainStatus,NRestarts,ActiveState jobd").split()
        assert sorted(shown) == ["ActiveState=failed", "ExecMainStatus=78", "NRestarts=0"]
        assert "did you mean `concurrency`?" in machine.must("journalctl -u jobd")
    finally:
        machine.run("systemctl reset-failed jobd")


_VISIT = """
import http.client, re, socket, sys
def ask(method, path, body=None):
    page = http.client.HTTPConnection("localhost")
    page.sock = socket.socket(socket.AF_UNIX)
    page.sock.connect("/run/jobd-web/web.sock")
    kind = {"content-type": "application/x-www-form-urlencoded", "origin": "http://localhost"} if body else {}
    page.request(method, path, body, {"x-user": "alice", **kind})
    answer = page.getresponse()
    return answer.status, answer.read().decode()
status, text = ask("GET", "/queues/email")
form = re.search(r'action="/queues/email/pause".*?name="csrf" value="(\\w+)"', text, re.DOTALL)
print(status, ask("POST", "/queues/email/pause", "csrf=" + form[1])[0] if form else "reads only")
"""


@pytest.mark.parametrize(("key", "seen"), [("socket_group", "200 303"), ("status_group", "200 reads only")])
def test_the_page_runs_as_another_user_and_may_what_its_group_may(machine: SystemdSandbox, key: str, seen: str) -> None:
    machine.write(_CONFIG, _BASE.replace('grace = "2s"', f'grace = "2s"\n{key} = "jobd"'))
    place = "--listen unix:/run/jobd-web/web.sock --auth-header X-User"
    machine.write(
        "/etc/systemd/system/jobd-web.service.d/proxy.conf",
        f"[Service]\nExecStart=\nExecStart=/usr/bin/env jobd web --socket /run/jobd/control.sock {place}\n",
    )
    machine.write("/srv/visit.py", _VISIT)
    try:
        machine.run("systemctl daemon-reload")
        started = machine.run("systemctl start jobd jobd-web")
        assert started.returncode == 0, machine.run("journalctl -u jobd -u jobd-web | tail -30").stdout
        wait_until(
            lambda: machine.run("test -S /run/jobd-web/web.sock").returncode == 0, 20, what="it listens", every=0.2
        )
        assert machine.must("/opt/jobd/bin/python /srv/visit.py").strip() == seen
        if key == "socket_group":
            assert _queues(machine)["email"]["paused_by"].startswith("alice through ")
            assert "by=alice" in machine.must("journalctl -u jobd-web")
    finally:
        machine.run("systemctl stop jobd-web; systemctl kill --signal=KILL jobd; systemctl stop jobd")
        machine.run("systemctl reset-failed jobd; rm -rf /var/lib/jobd/* /etc/systemd/system/jobd-web.service.d")
        machine.run("systemctl daemon-reload")


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
    return {"/opt/jobd": venv, "/opt/python": base, "/opt/packages": packages, "/opt/source/jobd": _ROOT / "jobd"}


def _as_jobd(arguments: str) -> str:
    """The command as root types it: the socket is found at /run/jobd without being told."""
    return f"/opt/jobd/bin/jobd {arguments}"


def _status(sandbox: SystemdSandbox) -> dict[str, Any]:
    return json.loads(sandbox.run(_as_jobd("status --json")).stdout)


def _queues(sandbox: SystemdSandbox) -> dict[str, dict[str, Any]]:
    return {queue["name"]: queue for queue in _status(sandbox)["queues"]}


def _pids(status: dict[str, Any]) -> list[int]:
    return [worker["pid"] for queue in status["queues"] for worker in queue["workers"]]


def _add(sandbox: SystemdSandbox, queue: str, data: dict[str, Any]) -> str:
    added = json.loads(sandbox.must(_as_jobd(f"job add {queue} wait '{json.dumps(data)}' --json")))
    return str(added["job"]["id"])


def _job(sandbox: SystemdSandbox, queue: str, job_id: str) -> dict[str, Any]:
    return dict(json.loads(sandbox.must(_as_jobd(f"job show {queue} {job_id} --json")))["job"])
