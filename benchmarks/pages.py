"""What it costs to be looked at: a scrape of /metrics, a page of a large queue, pages that stay open."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, at_most
from benchmarks.sides import Bench, JobdDaemon, cpu_s, since
from tests.support.web_page import WebPage

_HANDLER = "benchmarks.handlers:coroutine"
_QUEUE = "looked-at"
_VIEWERS = 50


def metrics(bench: Bench) -> Iterator[Figure]:
    """A scrape of a daemon with 100 queues (fewer at a small scale), each with a worker and some jobs done."""
    count = min(100, max(10, round(100 * bench.scale)))
    names = [f"queue-{number}" for number in range(count)]
    place = bench.folder / "numbers"
    queues = {name: {"handler": _HANDLER} for name in names}
    with bench.jobd(queues, more={"http": f"unix:{place}"}, ready_s=120) as daemon:
        for name in names:
            bench.fill(name, 10)
        took = _timed(lambda: _scrape(place), 20)
        before = cpu_s([daemon.pid])
        _timed(lambda: _scrape(place), 100)
        used_ms = (cpu_s([daemon.pid]) - before) * 10
    yield Figure(f"a scrape of /metrics, {count} queues", "ms", median(took), None, at_most(50))
    yield Figure(f"a scrape of /metrics, {count} queues: CPU of the daemon", "ms", used_ms)


def web(bench: Bench) -> Iterator[Figure]:
    """A page of the waiting jobs of a queue that has a million; then pages that stay open while jobs run."""
    count = bench.sized(1_000_000)
    with bench.jobd({_QUEUE: {"handler": _HANDLER}}) as daemon, _page(daemon) as page:
        daemon.call("queue.pause", queue=_QUEUE)
        bench.fill(_QUEUE, count)
        took = _timed(lambda: _get(page, f"/queues/{_QUEUE}/jobs?state=waiting"), 15)
        yield Figure(f"jobd web: a page of {count:,} waiting jobs", "ms", median(took), None, at_most(200))
        bench.redis.flushall()
        alone = _busy_share(bench, daemon)
        with ExitStack() as open_pages:
            for _ in range(_VIEWERS):
                open_pages.callback(_follow(page).close)
            watched = _busy_share(bench, daemon)
        yield Figure("daemon, 12 jobs/s: CPU", "%", alone)
        yield Figure(f"the same with {_VIEWERS} open pages: CPU more", "%", watched - alone, None, at_most(5))


def _page(daemon: JobdDaemon) -> WebPage:
    return WebPage(daemon.folder, "--config", str(daemon.folder / "jobd.toml"), "--socket", str(daemon.socket)).enter()


def _busy_share(bench: Bench, daemon: JobdDaemon) -> float:
    """CPU of the daemon in per cent of a core while twelve jobs a second run."""
    window_s = max(3.0, 10.0 * min(1.0, bench.scale))
    before, start = cpu_s([daemon.pid]), time.monotonic()
    bench.driver.ask("paced", _QUEUE, count=round(12 * window_s), every_ms=1000 / 12)
    return (cpu_s([daemon.pid]) - before) / since(start) * 100


def _timed(act: Callable[[], None], times: int) -> list[float]:
    """Milliseconds of each."""
    took = []
    for _ in range(times):
        start = time.monotonic()
        act()
        took.append(since(start) * 1000)
    return took


def _get(page: WebPage, path: str) -> None:
    answer = page.get(path)
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {answer.text[:200]}")


def _follow(page: WebPage) -> socket.socket:
    """Open the live stream of the overview, as a browser's open page does."""
    stream = socket.create_connection(("127.0.0.1", page.port), timeout=20)
    request = ("GET /live/ HTTP/1.1", f"host: 127.0.0.1:{page.port}", f"cookie: {page.cookie}")
    stream.sendall("".join(f"{line}\r\n" for line in (*request, "")).encode())
    if b" 200 " not in stream.recv(65536).partition(b"\r\n")[0]:
        raise RuntimeError("the live page was refused")
    return stream


def _scrape(place: Path) -> None:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.fspath(place))
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200 or b"jobd_" not in body:
        raise RuntimeError(f"/metrics: {answer.status} {body[:200]!r}")
