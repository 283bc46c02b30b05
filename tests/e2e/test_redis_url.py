"""A Redis URL that cannot be used: one exit code everywhere, the reason, and nothing of its password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_process import HANDLERS, ROOT

QUEUES = '[queues]\na = "daemon_handlers:ok"\n'
BAD = [
    ("redis://:abc/SECRETPART@host/0", "%2F"),
    (":SECRETPART@host", "starts with redis://"),
    ("redis://h?foo=1", "`foo`"),
    ("redis://h/0?ssl_cert_reqs=none", "belongs to rediss://"),
    ("rediss://h/0?ssl_cert_reqs=CERT_NOPE", "none, optional or required"),
    ("rediss://:SECRETPART@h/0?ssl_ca_certs=no.pem", "no.pem"),
]


def jobd(folder: Path, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "jobd", *args], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert "SECRETPART" not in text
    assert "Traceback" not in text
    return done.returncode, text


@pytest.mark.parametrize(("url", "reason"), BAD)
def test_one_of_the_file_is_78_and_one_of_the_command_line_is_2(tmp_path: Path, url: str, reason: str) -> None:
    path = f'[app]\npath = ["{HANDLERS}"]\n'
    (tmp_path / "jobd.toml").write_text(f'{path}[redis]\nurl = "{url}"\n{QUEUES}')
    for command in (["check"], ["run"], ["queue", "list"], ["job", "add", "a", "x"]):
        code, text = jobd(tmp_path, *command)
        assert (code, reason in text) == (78, True), text
    (tmp_path / "jobd.toml").write_text(f'{path}[redis]\nurl = "redis://127.0.0.1:1"\n{QUEUES}')
    for command in (["check"], ["run"], ["queue", "list"], ["job", "add", "a", "x"]):
        code, text = jobd(tmp_path, *command, "--redis", url)
        assert (code, reason in text) == (2, True), text


def test_a_reload_that_brings_one_is_refused_and_the_log_has_no_password(make) -> None:
    daemon = make('[queues.a]\nhandler = "daemon_handlers:ok"\n')
    good = daemon.config.read_text()
    for url, reason in BAD:
        daemon.config.write_text(good.replace(daemon.redis_url, url))
        for command in ("plan", "reload"):
            code, text = jobd(daemon.folder, command, "--socket", str(daemon.socket))
            assert (code, reason in text) == (78, True), text + daemon.log_tail()
    assert daemon.status()["generation"] == 1
    assert "SECRETPART" not in daemon.log.read_text()


def test_what_celery_calls_cert_none_works(tmp_path: Path) -> None:
    text = f'[app]\npath = ["{HANDLERS}"]\n[redis]\nurl = "rediss://127.0.0.1:1?ssl_cert_reqs=CERT_NONE"\n{QUEUES}'
    (tmp_path / "jobd.toml").write_text(text)
    assert jobd(tmp_path, "check")[0] == 0
    code, text = jobd(tmp_path, "queue", "list")
    assert (code, "connecting to 127.0.0.1:1" in text) == (69, True), text
