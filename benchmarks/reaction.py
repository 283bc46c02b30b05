"""How soon something happens: a job starts, a killed one runs again, a new queue takes its first."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from benchmarks.figures import Figure, at_most, compared, ratio_at_most
from benchmarks.on_the_wire import starts_after_the_wire
from benchmarks.rounds import interleaved
from benchmarks.sides import Bench, JobdDaemon, Side, since
from jobd.client import Queue
from tests.support.waiting import wait_until

Measure = Callable[[Bench, AbstractContextManager[Side]], list[float]]
"""Measures a side; returns the percentiles of its latencies, in milliseconds."""

_QUEUE = "react"
_STAMP = {"handler": "benchmarks.handlers:coroutine"}
_HANG = {"handler": "benchmarks.handlers:hang", "max_crashes": 10}


def latency(bench: Bench) -> Iterator[Figure]:
    """One job each 50 ms on an idle queue, until the first line of its handler.

    From the call of `add` in Node; from the call of each side's own `add`, as a team of one language uses it; then from
    the byte on the wire of a producer that does nothing else.
    """
    yield from _latency_by(bench, "idle latency", _latencies, _latencies)
    yield from _latency_by(bench, "idle latency, own producers", _latencies_by_our_add, _latencies)
    yield from _latency_by(bench, "idle latency from the wire", _latencies_from_the_wire, _latencies_from_the_wire)


def recovery(bench: Bench) -> Iterator[Figure]:
    """A job whose worker, then whose whole daemon, is killed by SIGKILL runs again."""
    notes = bench.folder / "starts"
    with bench.jobd({_QUEUE: _HANG}) as daemon:
        _add_hanging(bench, notes)
        pid, _ = _start(notes, 1)
        killed_ns = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        _, again_ns = _start(notes, 2)
        yield Figure("worker killed -> its job runs again", "ms", (again_ns - killed_ns) / 1e6, None, at_most(200))
        daemon.kill()
        restarted_ns = time.monotonic_ns()
        daemon.start()
        _, again_ns = _start(notes, 3)
        took_ms = (again_ns - restarted_ns) / 1e6
        yield Figure("all killed, restarted -> its job runs again", "ms", took_ms, None, at_most(1000))
    notes.unlink()


def reload(bench: Bench) -> Iterator[Figure]:
    """From `jobd reload` of a file with one more queue to the start of that queue's first job."""
    notes = bench.folder / "starts"
    with bench.jobd({"other": _STAMP}) as daemon:
        _add_hanging(bench, notes)
        daemon.write({"other": _STAMP, _QUEUE: _HANG})
        asked_ns = time.monotonic_ns()
        daemon.call("reload")
        _, started_ns = _start(notes, 1)
        yield Figure("reload -> first job of a new queue", "ms", (started_ns - asked_ns) / 1e6, None, at_most(500))
    notes.unlink()


def spawn(bench: Bench) -> Iterator[Figure]:
    """One more worker of a running queue, by `queue scale`: until it is ready."""
    took_ms = []
    with bench.jobd({_QUEUE: _STAMP}) as daemon:
        for wanted in range(2, 7):
            start = time.monotonic_ns()
            daemon.call("queue.scale", queue=_QUEUE, to=str(wanted))
            wait_until(partial(_has_ready, daemon, wanted), 10, what="one more is ready", every=0.001)
            took_ms.append((time.monotonic_ns() - start) / 1e6)
    yield Figure("one more worker: asked -> ready", "ms", median(took_ms), None, at_most(50))


def _latency_by(bench: Bench, name: str, ours: Measure, theirs: Measure) -> Iterator[Figure]:
    rounds = interleaved(
        bench, name, lambda: ours(bench, bench.jobd({_QUEUE: _STAMP})), lambda: theirs(bench, bench.node(_QUEUE))
    )
    yield compared(f"{name}, p50", "ms", rounds.figures(lambda one: one[49]), ratio_at_most(0.5))
    yield compared(f"{name}, p99", "ms", rounds.figures(lambda one: one[98]), ratio_at_most(0.3))


def _latencies(bench: Bench, side: AbstractContextManager[Side]) -> list[float]:
    """The percentiles 1 to 99, in milliseconds."""
    count = bench.sized(400)
    with side:
        bench.driver.ask("paced", _QUEUE, count=20, every_ms=50)  # warm: code compiled, connections open
        bench.driver.ask("paced", _QUEUE, count=count, every_ms=50)
        wait_until(lambda: bench.completed(_QUEUE) >= 20 + count, 30, what="all are completed")
        return quantiles([nanoseconds / 1e6 for nanoseconds in bench.results(_QUEUE)[20:]], n=100)


def _latencies_by_our_add(bench: Bench, side: AbstractContextManager[Side]) -> list[float]:
    """The same percentiles, of jobs that jobd's synchronous client adds."""
    count = bench.sized(400)
    with side, Queue(_QUEUE, url=bench.server.tcp_url) as queue:
        start = time.monotonic()
        for number in range(20 + count):
            time.sleep(max(0.0, number * 0.05 - since(start)))
            queue.add("stamp", {"sent_ns": time.monotonic_ns()})
        wait_until(lambda: bench.completed(_QUEUE) >= 20 + count, 30, what="all are completed")
        return quantiles([nanoseconds / 1e6 for nanoseconds in bench.results(_QUEUE)[20:]], n=100)


def _latencies_from_the_wire(bench: Bench, side: AbstractContextManager[Side]) -> list[float]:
    with side:
        return quantiles(starts_after_the_wire(bench, _QUEUE, bench.sized(400), every_ms=50), n=100)


def _add_hanging(bench: Bench, notes: Path) -> None:
    with Queue(_QUEUE, url=bench.server.tcp_url) as queue:
        queue.add("hang", {"notes": str(notes)})


def _start(notes: Path, number: int) -> tuple[int, int]:
    """Wait for the handler's start of that number; return its pid and moment (monotonic, nanoseconds)."""
    lines = wait_until(lambda: _lines(notes, number), 90, what=f"start {number} of the job", every=0.002)
    pid, moment_ns = lines[number - 1].split()
    return int(pid), int(moment_ns)


def _lines(notes: Path, at_least: int) -> list[str]:
    lines = notes.read_text().splitlines() if notes.exists() else []
    return lines if len(lines) >= at_least else []


def _has_ready(daemon: JobdDaemon, wanted: int) -> bool:
    workers = [worker for queue in daemon.status()["queues"] for worker in queue["workers"]]
    return [worker["state"] for worker in workers].count("ready") == wanted
