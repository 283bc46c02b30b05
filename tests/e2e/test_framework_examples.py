"""The examples of other people's frameworks run as their pages say, from a copy, in the virtualenv that has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.more_packages import more_python
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_EXAMPLES = _ROOT / "examples"


class Example:
    """A copy of one example's folder."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = shutil.copytree(_EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns(".jobd", "*.db"))
        mine = {key: value for key, value in os.environ.items() if not key.startswith("JOBD_")}
        self.env = {**mine, "PYTHONPATH": str(_ROOT), **(env or {})}
        self.log = self.folder / "daemon.log"

    def python(self, *words: str) -> str:
        done = subprocess.run(
            [more_python(), *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=100,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def daemon(self) -> Iterator[None]:
        with self.log.open("w") as log:
            command = [more_python(), "-m", "jobd", "run"]
            daemon = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: self._ready(daemon), 60, what="jobd is ready", every=0.1)
            yield
            self.python("-m", "jobd", "stop")
            assert daemon.wait(timeout=30) == 0
        finally:
            daemon.kill()
            daemon.wait()

    def _ready(self, daemon: subprocess.Popen[bytes]) -> bool:
        assert daemon.poll() is None, self.log.read_text()
        health = [more_python(), "-m", "jobd", "health", "--ready"]
        return subprocess.run(health, cwd=self.folder, env=self.env, capture_output=True, check=False).returncode == 0

    def shown(self, first: str) -> list[str]:
        """Return the lines of its page's indented block that starts with `first`."""
        block = (self.folder / "README.md").read_text().split(f"    {first}", 1)[1].split("\n\n", 1)[0]
        return [line.strip() for line in f"{first}{block}".splitlines()]

    def printed(self) -> list[str]:
        """Return what the workers have printed."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["line"] for line in lines if line.get("event") == "output"]


@pytest.fixture
def example(short_tmp: Path) -> Callable[..., Example]:
    return lambda name, env=None: Example(name, short_tmp, env)


def test_django_adds_on_commit_and_runs_with_its_models(example: Callable[..., Example]) -> None:
    app = example("django")
    app.python("manage.py", "migrate", "-v", "0")
    with app.daemon():
        assert app.python("add.py").splitlines() == app.shown("rolled back")


def test_sqlalchemy_has_a_session_for_each_job(example: Callable[..., Example]) -> None:
    app = example("sqlalchemy")
    with app.daemon():
        assert app.python("add.py").splitlines() == app.shown("{'greeted'")


def test_texts_are_embedded_faster_in_batches_and_to_the_same_vectors(example: Callable[..., Example]) -> None:
    app = example("embeddings")
    with app.daemon():
        printed = app.python("add.py", "500").splitlines()
    assert printed[2] == "the vectors are the same: True"
    # 3 times on an idle machine (docs/benchmarks.md): here other tests take their share.
    assert float(printed[1].split(", ")[1].split()[0]) > 1


@pytest.mark.parametrize("name", ["fastapi", "flask"])
def test_web_applications_pass_their_own_tests(name: str, example: Callable[..., Example]) -> None:
    app = example(name)
    assert " passed" in app.python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "0 warnings" in app.python("-m", "jobd", "check")


def test_fastapi_adds_to_a_real_queue(example: Callable[..., Example]) -> None:
    app = example("fastapi")
    ask = (
        "from fastapi.testclient import TestClient; from shop.app import app; import time\n"
        "with TestClient(app) as web:\n"
        "    print(web.post('/users', json={'user_id': 7}).text)\n"
        "    while web.get('/jobs/welcome-7').json()['state'] != 'completed': time.sleep(0.02)\n"
        "    print(web.get('/jobs/welcome-7').json()['result'])\n"
    )
    with app.daemon():
        assert app.python("-W", "ignore", "-c", ask).splitlines() == [*app.shown('{"job"'), "{'welcomed': 7}"]


def test_log_lines_carry_the_job(example: Callable[..., Example]) -> None:
    app = example("logging")
    with app.daemon():
        app.python("-m", "jobd", "job", "add", "payments", "pay", '{"amount": 12}', "--wait")
        wanted = app.shown("INFO payments/1")
        wait_until(lambda: set(wanted) <= set(app.printed()), 20, what=f"{wanted} in the log")


def test_sentry_gets_what_a_handler_raises_with_its_job(example: Callable[..., Example]) -> None:
    with _sentry() as (port, events):
        app = example("sentry", {"SENTRY_DSN": f"http://key@127.0.0.1:{port}/1"})
        with app.daemon():
            add = ["-m", "jobd", "job", "add", "payments", "charge"]
            app.python(*add, '{"amount": 3}', "--wait")
            app.python(*add, '{"amount": -1}')
            wait_until(lambda: events, 30, what="an event at Sentry")
    (event,) = events
    assert event["exception"]["values"][0]["value"] == "cannot charge less than nothing"
    assert (event["tags"], event["contexts"]["jobd"]["id"]) == ({"queue": "payments", "job": "charge"}, "2")
    assert event["transaction"] == "payments/charge"


def test_opentelemetry_gets_one_trace_by_otlp(example: Callable[..., Example]) -> None:
    with _collector() as (port, bodies):
        app = example("opentelemetry", {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"})
        with app.daemon():
            result, told = app.python("add.py").splitlines()
        trace = bytes.fromhex(told.removeprefix("trace "))
    assert result == "{'charged': 12}"
    # Each body is one process' spans in protobuf, where names and ids stand as they are.
    producers = [body for body in bodies if b"checkout" in body]
    workers = [body for body in bodies if b"process payments" in body]
    assert producers
    assert workers
    assert all(b"add payments" in body and trace in body for body in producers)
    assert all(b"shop-payments" in body and trace in body for body in workers)
    assert any(b"the bank does not answer" in body and b"retried" in body for body in workers)


@contextmanager
def _collector() -> Iterator[tuple[int, list[bytes]]]:
    """Stand in for a collector: keeps what is sent to it by OTLP over HTTP."""
    import gzip

    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], bodies
        server.shutdown()
        thread.join()


@contextmanager
def _sentry() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Stand in for Sentry: collects the events that are sent to it."""
    import gzip

    events: list[dict[str, Any]] = []

    class Ingest(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
            events.extend(line for line in lines if "exception" in line)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ingest) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], events
        server.shutdown()
        thread.join()
