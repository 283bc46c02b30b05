"""jobd.socket: systemd listens at the control socket, and who connects starts the daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.systemd_machine import BASE, CONFIG, as_jobd, booted, clean_up, journal, pids_of, status_of
from tests.support.systemd_sandbox import SystemdSandbox
from tests.support.waiting import wait_until

pytestmark = pytest.mark.systemd

_SOCKET = "/run/jobd/control.sock"


@pytest.fixture(scope="module")
def machine() -> Iterator[SystemdSandbox]:
    with booted() as machine:
        yield machine


@pytest.fixture
def listening(machine: SystemdSandbox) -> Iterator[SystemdSandbox]:
    """The machine with jobd.socket started, and no daemon yet."""
    machine.write(CONFIG, BASE)
    machine.must("systemctl start jobd.socket")
    yield machine
    clean_up(machine)


def test_who_connects_starts_the_daemon(listening: SystemdSandbox) -> None:
    assert listening.run("systemctl is-active jobd").stdout.strip() == "inactive"
    before = _file(listening)
    assert before.split()[:3] == ["socket", "600", "jobd:jobd"]
    started = status_of(listening)  # answered by the daemon that it started
    assert started["state"] in ("starting", "ready"), journal(listening)
    assert '"userId": 7' in listening.must(as_jobd("job add email welcome '{\"userId\": 7}' --wait"))
    assert _file(listening) == before, "the daemon changed the file that systemd made"
    # Whoever the daemon hands its environment to must not take the socket for its own.
    (worker, *_) = pids_of(status_of(listening))
    environ = listening.must(f"tr '\\0' '\\n' </proc/{worker}/environ")
    assert "LISTEN_" not in environ


def test_stop_returns_when_the_daemon_is_gone_and_the_next_command_starts_it_again(listening: SystemdSandbox) -> None:
    first = status_of(listening)["pid"]
    wait_until(lambda: status_of(listening)["state"] == "ready", 20, what="ready", every=0.1)
    before = _file(listening)
    listening.must(as_jobd("stop"), deadline=20)
    assert listening.run(f"test -e /proc/{first}").returncode != 0
    assert _file(listening) == before
    assert status_of(listening)["pid"] != first


def test_a_client_waits_while_the_daemon_is_restarted(listening: SystemdSandbox) -> None:
    wait_until(lambda: status_of(listening)["state"] == "ready", 20, what="ready", every=0.1)
    listening.must(
        "systemctl restart --no-block jobd; "
        f"for i in $(seq 20); do {as_jobd('health --live')} || exit 1; done"
    )  # fmt: skip


def test_a_wrong_file_is_told_to_who_connected_and_not_tried_again_and_again(listening: SystemdSandbox) -> None:
    listening.write(CONFIG, BASE.replace("concurrency", "concurency"))
    done = listening.run(as_jobd("plan --json"))
    assert done.returncode == 78, done.stdout + done.stderr
    assert "concurency" in json.dumps(json.loads(done.stdout)["error"]), done.stdout
    wait_until(lambda: "failed" in listening.run("systemctl is-active jobd").stdout, 20, what="failed", every=0.1)
    assert listening.must("systemctl show -P NRestarts jobd").strip() == "0"
    assert listening.must("systemctl is-active jobd.socket").strip() == "active", journal(listening, "jobd.socket")

    listening.write(CONFIG, BASE)
    assert status_of(listening)["state"] in ("starting", "ready")


def test_a_socket_that_the_file_does_not_name_ends_the_start_with_78(listening: SystemdSandbox) -> None:
    listening.write(CONFIG, BASE.replace("[daemon]", '[daemon]\nsocket = "/run/jobd/other.sock"'))
    done = listening.run(as_jobd(f"--socket {_SOCKET} status"))
    assert done.returncode == 78, done.stdout + done.stderr
    assert f'passes "{_SOCKET}"' in done.stderr


def test_the_file_removed_under_it_is_made_again(listening: SystemdSandbox) -> None:
    first = status_of(listening)["pid"]
    listening.must(f"rm {_SOCKET}")
    wait_until(lambda: listening.run(f"test -S {_SOCKET}").returncode == 0, 20, what="there again", every=0.1)
    assert status_of(listening)["pid"] == first


def test_a_daemon_started_by_hand_names_the_socket_unit(listening: SystemdSandbox) -> None:
    done = listening.run(f"cd / && {as_jobd(f'--config {CONFIG} run')}")
    assert done.returncode == 1
    assert "systemd listens at" in done.stdout + done.stderr


def _file(machine: SystemdSandbox) -> str:
    return machine.must(f"stat -c '%F %a %U:%G %i' {_SOCKET}").strip()
