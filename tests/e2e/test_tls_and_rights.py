"""TLS with an authority of one's own and a client's certificate, and a Redis user with the documented rights only."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobd.client import Queue
from jobd.errors import RedisUnavailable
from tests.support.daemon_process import ROOT, DaemonProcess
from tests.support.redis_server import free_port
from tests.support.redis_topologies import Node

QUEUE = '[queues.mail]\nhandler = "daemon_handlers:ok"\nrate_limit = { max = 1000, duration = "1s" }\n'


class Authority:
    """A certificate authority in a folder, and what it signs."""

    def __init__(self, folder: Path, name: str = "own") -> None:
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name} authority",
                      "-keyout", self._key, "-out", self.certificate)  # fmt: skip

    def signs(self, name: str) -> tuple[Path, Path]:
        """Return a certificate for 127.0.0.1 and its key."""
        certificate, key, request = (self.folder / f"{name}.{ending}" for ending in ("crt", "key", "csr"))
        names = self.folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                      "-days", "2", "-extfile", names, "-out", certificate)  # fmt: skip
        return certificate, key

    @staticmethod
    def _openssl(*words: object) -> None:
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def start(short_tmp: Path) -> Iterator[Callable[..., DaemonProcess]]:
    made: list[DaemonProcess] = []

    def build(url: str, **more: str) -> DaemonProcess:
        made.append(DaemonProcess(short_tmp / f"d{len(made)}", url, QUEUE, **more))
        return made[-1]

    yield build
    for daemon in made:
        daemon.destroy()


def test_an_authority_of_ones_own_and_a_clients_certificate(
    short_tmp: Path, start: Callable[..., DaemonProcess]
) -> None:
    ours, port = Authority(short_tmp), free_port()
    certificate, key = ours.signs("server")
    settings = {
        "port": port, "cert-file": certificate, "key-file": key, "ca-cert-file": ours.certificate,
        "auth-clients": "yes",
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in (f"--tls-{name}", str(value))]
    server = Node(short_tmp / "redis", *words).start()
    try:
        own, own_key = ours.signs("jobd")
        address = f"rediss://127.0.0.1:{port}/0"
        url = f"{address}?ssl_ca_certs={ours.certificate}&ssl_certfile={own}&ssl_keyfile={own_key}"
        daemon = start(url).start_ready()
        assert daemon.status()["redis"]["up"] is True
        with Queue("mail", url=url) as queue:
            assert queue.add("x", {}).wait(timeout=20) is not None
        others = Authority(short_tmp, "other")
        wrong = f"{address}?ssl_ca_certs={others.certificate}&ssl_certfile={own}&ssl_keyfile={own_key}"
        with Queue("mail", url=wrong) as queue, pytest.raises(RedisUnavailable, match=r"(?i)certificate"):
            queue.add("x", {})
        with Queue("mail", url=f"{address}?ssl_ca_certs={ours.certificate}") as queue, pytest.raises(RedisUnavailable):
            queue.add("x", {})
    finally:
        server.stop()


def documented_rights() -> list[str]:
    """Return the rule of docs/configuration.md, word by word."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    rule = re.search(r"^ACL SETUSER jobd on >password (.*)$", text, re.MULTILINE)
    assert rule is not None
    return rule[1].split()


def test_the_documented_rights_are_enough(short_tmp: Path, start: Callable[..., DaemonProcess]) -> None:
    server = Node(short_tmp / "redis").start()
    try:
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "jobd", "on", ">password", *documented_rights())
            admin.execute_command("ACL", "SETUSER", "default", "off")
            url = f"redis://jobd:password@127.0.0.1:{server.port}/0"
            daemon = start(url, head='name = "shop"').start_ready()
            with Queue("mail", url=url) as queue:
                assert queue.add("x", {}).wait(timeout=20) is not None
                later = queue.add("x", {}, delay="1h")
            daemon.call("job.promote", queue="mail", ids=[later.id])
            for method in ("doctor", "host.list", "schedule.list", "events", "metrics"):
                assert daemon.call(method)["schema"] == 1, method
            for method in ("queue.pause", "queue.resume", "queue.show", "queue.empty"):
                assert daemon.call(method, queue="mail")["schema"] == 1, method
            assert daemon.status()["degraded_by"] == []
            refused = [json.loads(line) for line in daemon.log.read_text().splitlines() if "NOPERM" in line]
            assert refused == []
    finally:
        server.stop()
