"""The shipped unit under a real systemd: what systemctl returns is what happened."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.cli.commands.systemd import UNITS
from tests.support.programs import find_program
from tests.support.systemd_machine import (
    BASE,
    CONFIG,
    add_job,
    as_jobd,
    booted,
    clean_up,
    journal,
    pids_of,
    queues_of,
    show_job,
    status_of,
)  # fmt: skip
from tests.support.systemd_sandbox import SystemdSandbox
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.systemd


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_the_unit_is_valid_and_tight(name: str) -> None:
    unit = _ROOT / "systemd" / name
    find_program("systemd-analyze", "systemd")
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stdout[-500:]  # the threshold is ten times the exposure


@pytest.fixture(scope="module")
def machine() -> Iterator[SystemdSandbox]:
    with booted() as machine:
        yield machine


@pytest.fixture
def running(machine: SystemdSandbox) -> Iterator[SystemdSandbox]:
    """The machine with jobd started on the file above; stopped and emptied afterwards."""
    machine.write(CONFIG, BASE)
    started = machine.run("systemctl start jobd")
    assert started.returncode == 0, journal(machine)
    yield machine
    clean_up(machine)


def test_start_returns_when_the_workers_are_ready(running: SystemdSandbox) -> None:
    assert running.must("systemctl is-active jobd").strip() == "active"
    assert running.run(as_jobd("health --ready")).returncode == 0
    added = running.must(as_jobd("job add email welcome '{\"userId\": 7}' --wait"))
    assert '"userId": 7' in added


def test_reload_returns_when_the_new_queue_has_a_worker(running: SystemdSandbox) -> None:
    running.write(CONFIG, BASE + '\n[queues.reports]\nhandler = "handlers:send"\n')
    running.must("systemctl reload jobd")
    assert {"email", "long", "reports"} == set(queues_of(running))
    assert queues_of(running)["reports"]["workers"][0]["state"] == "ready"


def test_a_reload_that_fails_fails_systemctl_and_changes_nothing(running: SystemdSandbox) -> None:
    before = status_of(running)
    running.write(CONFIG, BASE + '\n[queues.reports]\nhandler = "handlers:sendd"\n')
    assert running.run("systemctl reload jobd").returncode != 0
    after = status_of(running)
    assert after["generation"] == before["generation"]
    assert pids_of(after) == pids_of(before)
    assert running.must("systemctl is-active jobd").strip() == "active"


def test_stop_waits_for_what_ends_within_grace_and_hands_back_the_rest(running: SystemdSandbox) -> None:
    ends = add_job(running, "long", {"for_ever": False})
    goes_on = add_job(running, "long", {"for_ever": True})
    wait_until(lambda: queues_of(running)["long"]["busy"] == 2, 30, what="both jobs run", every=0.1)
    running.must("systemctl stop jobd")
    assert running.must("systemctl show -P Result jobd").strip() == "success"

    running.write(CONFIG, BASE + "quiet = true\n")  # of [queues.long]: nothing is taken again
    running.must("systemctl start jobd")
    assert show_job(running, "long", ends)["state"] == "completed"
    handed_back = show_job(running, "long", goes_on)
    assert (handed_back["state"], handed_back["attempts_made"]) == ("waiting", 0)


def test_a_hanging_daemon_is_killed_by_the_watchdog_and_started_again(running: SystemdSandbox) -> None:
    running.write("/etc/systemd/system/jobd.service.d/test.conf", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    running.must("systemctl daemon-reload && systemctl restart jobd")
    first = running.must("systemctl show -P MainPID jobd").strip()
    running.must(f"kill -STOP {first}")
    wait_until(lambda: running.must("systemctl show -P NRestarts jobd").strip() != "0", 20, what="restarted", every=0.2)
    wait_until(lambda: running.run("systemctl is-active jobd").returncode == 0, 20, what="active again", every=0.2)
    assert running.must("systemctl show -P MainPID jobd").strip() != first
    running.must(as_jobd("job add email welcome '{}' --wait"))


def test_a_wrong_file_ends_the_start_with_78_and_is_not_tried_again(machine: SystemdSandbox) -> None:
    machine.write(CONFIG, BASE.replace("concurrency", "concurency"))
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
    machine.write(CONFIG, BASE.replace('grace = "2s"', f'grace = "2s"\n{key} = "jobd"'))
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
            assert queues_of(machine)["email"]["paused_by"].startswith("alice through ")
            assert "by=alice" in machine.must("journalctl -u jobd-web")
    finally:
        machine.run("systemctl stop jobd-web; systemctl kill --signal=KILL jobd; systemctl stop jobd")
        machine.run("systemctl reset-failed jobd; rm -rf /var/lib/jobd/* /etc/systemd/system/jobd-web.service.d")
        machine.run("systemctl daemon-reload")
