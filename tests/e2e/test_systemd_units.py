"""What else a unit may say: every profile, a daemon for each file, a user of the moment, credentials, slow starts."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from jobd.cli.commands.systemd import PROFILES
from tests.support.systemd_machine import (
    BASE,
    CONFIG,
    ROOT,
    UNIT_FOLDER,
    add_job,
    as_jobd,
    booted,
    clean_up,
    journal,
    pids_of,
    queues_of,
    show_job,
    status_of,
)
from tests.support.systemd_sandbox import SystemdSandbox
from tests.support.waiting import wait_until

pytestmark = pytest.mark.systemd

_PROBES = """
import ctypes, mmap, os, socket, ssl, subprocess, sqlite3, tempfile, threading, time
from multiprocessing import get_context

def probe(job):
    return globals()["try_" + job.data]()

def try_subprocess():
    return subprocess.run(["/bin/sh", "-c", "echo $((20 + 1)) | cat"], capture_output=True, check=True).stdout.decode()

def try_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(1))
    thread.start(); thread.join()
    return seen

def try_files():
    with tempfile.NamedTemporaryFile() as file, open("note.txt", "w") as own:
        own.write(file.name)
    return os.getcwd()

def try_sqlite():
    return sqlite3.connect("state.db").execute("select 40 + 2").fetchone()[0]

def try_pool():
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(os.getpid) != os.getpid()

def try_tls():
    return len(ssl.create_default_context().get_ciphers()) > 0

def try_server():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        return client.getpeername()[0]

def try_executable_pages():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return "allowed"

def try_interfaces():
    return [name for _, name in socket.if_nameindex()]
"""
_ALWAYS = ("subprocess", "thread", "files", "sqlite", "pool", "tls", "server")

_SLOW = """
import time
time.sleep(4)

def setup():
    time.sleep(4)

def send(job):
    return "sent"
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[SystemdSandbox]:
    with booted() as machine:
        machine.write("/srv/app/probes.py", _PROBES)
        yield machine


@pytest.fixture
def clean(machine: SystemdSandbox) -> Iterator[SystemdSandbox]:
    machine.write(CONFIG, BASE)
    yield machine
    clean_up(machine)


@pytest.mark.parametrize("profile", PROFILES)
def test_each_printed_profile_boots_and_lets_handlers_do_what_they_commonly_do(
    clean: SystemdSandbox, profile: str
) -> None:
    clean.write(CONFIG, BASE + '\n[queues.probes]\nhandler = "probes:probe"\n')
    clean.must(f"/opt/jobd/bin/jobd systemd print --profile {profile} >{UNIT_FOLDER}/jobd.service")
    clean.must("systemctl daemon-reload")
    try:
        started = clean.run("systemctl start jobd")
        assert started.returncode == 0, journal(clean)
        for name in _ALWAYS:
            clean.must(as_jobd(f"job add probes {name} '\"{name}\"' --wait"))
        maps = clean.run(as_jobd("job add probes map '\"executable_pages\"' --wait"))
        assert (maps.returncode == 0) == (profile != "strict"), maps.stderr
        doctor = clean.run(as_jobd("doctor"))
        assert doctor.returncode == 0, doctor.stdout
        assert ("JIT compilers fail" in doctor.stdout) == (profile == "strict"), doctor.stdout
        clean.must("systemctl reload jobd")
        clean.must("systemctl stop jobd")
        assert clean.must("systemctl show -P Result jobd").strip() == "success", journal(clean)
    finally:
        clean.must(f"/opt/jobd/bin/jobd systemd print >{UNIT_FOLDER}/jobd.service")


def test_one_daemon_for_each_file_by_the_template_unit(clean: SystemdSandbox) -> None:
    names = ("shop", "mail-eu")
    for name in names:
        clean.write(f"/etc/jobd/{name}.toml", BASE.replace("[queues.email]", f"[queues.{name}]"))
    try:
        for name in names:
            assert clean.run(f"systemctl start jobd@{name}").returncode == 0, journal(clean, f"jobd@{name}")
        for name in names:
            at = as_jobd(f"--config /etc/jobd/{name}.toml")
            status = json.loads(clean.must(f"{at} status --json"))
            assert status["config"]["path"] == f"/etc/jobd/{name}.toml"
            assert clean.must(f"systemctl show -P MainPID jobd@{name}").strip() == str(status["pid"])
            assert clean.must(f"{at} job add {name} hello '1' --wait")
            assert clean.run(f"test -d /var/lib/jobd-{name}/embedded -o -e /var/lib/jobd-{name}/lock").returncode == 0
        clean.write("/etc/jobd/shop.toml", BASE.replace("[queues.email]", "[queues.other]"))
        clean.must("systemctl reload jobd@shop")
        shop = json.loads(clean.must(as_jobd("--config /etc/jobd/shop.toml status --json")))
        mail = json.loads(clean.must(as_jobd("--config /etc/jobd/mail-eu.toml status --json")))
        assert (shop["generation"], mail["generation"]) == (2, 1)
        clean.must("systemctl stop jobd@shop")
        assert clean.must("systemctl is-active jobd@mail-eu").strip() == "active"
        gone = clean.run(as_jobd("--config /etc/jobd/shop.toml status"))
        assert (gone.returncode, "/run/jobd-shop/control.sock" in gone.stderr) == (3, True), gone.stderr
    finally:
        clean.run("systemctl kill --signal=KILL 'jobd@*'; systemctl stop 'jobd@*'; systemctl reset-failed")
        clean.run("rm -rf /etc/jobd/*.toml /var/lib/jobd-*")


def test_it_runs_as_a_user_that_exists_only_meanwhile_with_credentials(clean: SystemdSandbox) -> None:
    clean.write("/etc/credentials/api", "s3cret", mode="600")
    clean.write(
        f"{UNIT_FOLDER}/jobd.service.d/user.conf",
        "[Service]\nDynamicUser=yes\nUser=jobd-run\nGroup=jobd-run\nLoadCredential=api:/etc/credentials/api\n",
    )
    clean.write("/srv/app/keys.py", "import os\n\ndef tell(job):\n    return [os.environ['API_KEY'], os.getuid()]\n")
    clean.write(
        CONFIG,
        BASE.replace("[app]", '[app]\nenv = { API_KEY = { credential = "api" } }')
        + '\n[queues.keys]\nhandler = "keys:tell"\n',
    )
    clean.must("systemctl daemon-reload")
    assert clean.run("systemctl start jobd").returncode == 0, journal(clean)
    key, uid = json.loads(clean.must(as_jobd("job add keys tell '{}' --wait")))
    assert key == "s3cret"
    assert 61184 <= uid <= 65519  # systemd.exec(5), DynamicUser=
    assert "s3cret" not in clean.must(as_jobd("config show")) + clean.must("journalctl -u jobd")
    clean.must("systemctl reload jobd")

    job = add_job(clean, "keys", {})
    clean.must("systemctl restart jobd")  # the state is the next user's too
    assert show_job(clean, "keys", job)["id"] == job


def test_a_start_and_a_reload_may_take_longer_than_systemd_would_wait(clean: SystemdSandbox) -> None:
    clean.write("/srv/app/slow.py", _SLOW)
    clean.write(CONFIG, BASE + '\n[queues.slow]\nhandler = "slow:send"\nsetup = "slow:setup"\n')
    clean.write(f"{UNIT_FOLDER}/jobd.service.d/test.conf", "[Service]\nTimeoutStartSec=7s\n")
    clean.must("systemctl daemon-reload")
    assert clean.run("systemctl start jobd").returncode == 0, journal(clean)
    assert queues_of(clean)["slow"]["workers"][0]["state"] == "ready"
    clean.must("systemctl reload jobd")
    assert status_of(clean)["generation"] == 2


def test_a_worker_that_is_killed_does_not_end_the_service(clean: SystemdSandbox) -> None:
    clean.must("systemctl start jobd")
    job = add_job(clean, "long", {"for_ever": True})
    wait_until(lambda: queues_of(clean)["long"]["busy"] == 1, 30, what="the job runs", every=0.1)
    before = status_of(clean)
    (worker,) = (worker["pid"] for worker in queues_of(clean)["long"]["workers"])
    clean.must(f"kill -{signal.SIGKILL.value} {worker}")  # as the kernel does for memory
    wait_until(
        lambda: worker not in pids_of(status_of(clean)) and queues_of(clean)["long"]["busy"] == 1,
        30, what="it runs again", every=0.1,
    )  # fmt: skip
    assert status_of(clean)["pid"] == before["pid"]
    assert clean.must("systemctl show -p NRestarts -p Result jobd").split() == ["Result=success", "NRestarts=0"]
    assert show_job(clean, "long", job)["state"] == "active"


def test_the_drop_in_for_newer_systemd_reloads_by_a_signal(clean: SystemdSandbox) -> None:
    version = int(clean.must("systemctl --version").split()[1])
    if version < 253:
        pytest.skip(f"systemd {version} has no Type=notify-reload; another one: make systemd")
    clean.write(f"{UNIT_FOLDER}/jobd.service.d/253.conf", (ROOT / "systemd" / "jobd-253.conf").read_text())
    verified = clean.run("systemctl daemon-reload; systemd-analyze verify jobd.service")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert clean.run("systemctl start jobd").returncode == 0, journal(clean)
    clean.write(CONFIG, BASE + '\n[queues.reports]\nhandler = "handlers:send"\n')
    clean.must("systemctl reload jobd")
    assert queues_of(clean)["reports"]["workers"][0]["state"] == "ready"


def test_a_reload_by_a_signal_may_take_longer_than_systemd_would_wait(clean: SystemdSandbox) -> None:
    version = int(clean.must("systemctl --version").split()[1])
    if version < 253:
        pytest.skip(f"systemd {version} has no Type=notify-reload; another one: make systemd")
    clean.write("/srv/app/slow.py", _SLOW)
    drop_in = (ROOT / "systemd" / "jobd-253.conf").read_text() + "\n[Service]\nTimeoutStartSec=7s\n"
    clean.write(f"{UNIT_FOLDER}/jobd.service.d/253.conf", drop_in)
    clean.must("systemctl daemon-reload")
    assert clean.run("systemctl start jobd").returncode == 0, journal(clean)
    pid = status_of(clean)["pid"]
    clean.write(CONFIG, BASE + '\n[queues.slow]\nhandler = "slow:send"\nsetup = "slow:setup"\n')
    began = time.monotonic()
    clean.must("systemctl reload jobd")
    assert time.monotonic() - began > 7, "not slower than systemd would have waited"
    assert queues_of(clean)["slow"]["workers"][0]["state"] == "ready"
    assert (status_of(clean)["generation"], status_of(clean)["pid"]) == (2, pid)
    assert "timed out" not in clean.must("journalctl -u jobd"), journal(clean)
