"""Many of everything, for long: five hundred queues, minutes of load, two hundred reloads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, at_most
from benchmarks.sides import Bench, JobdDaemon, cpu_s, memory_mb, since

_HANDLER = "benchmarks.handlers:coroutine"
_QUEUE = "load"
_RATE = 500


@dataclass(frozen=True)
class Taken:
    """What a daemon and its workers hold at a moment."""

    daemon_mb: float
    worker_mb: float
    files: int
    threads: int
    children: int

    @classmethod
    def by(cls, daemon: JobdDaemon) -> Taken:
        """Look at them; of several workers, at the first."""
        pid = daemon.pid
        return cls(
            memory_mb(pid, "Rss"),
            memory_mb(daemon.pids[0], "Rss"),
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            len(list(Path(f"/proc/{pid}/task").iterdir())),
            sum(len(children.read_text().split()) for children in Path(f"/proc/{pid}/task").glob("*/children")),
        )


def queues(bench: Bench) -> Iterator[Figure]:
    """Five hundred queues of one worker each (fewer at a small scale): start, what the daemon takes, stop."""
    count = min(500, max(20, round(500 * bench.scale)))
    tables = {f"queue-{number}": {"handler": _HANDLER} for number in range(count)}
    start = time.monotonic()
    with bench.jobd(tables, ready_s=300) as daemon:
        ready_s = since(start)
        time.sleep(2)  # what follows readiness is not idleness
        window_s, before = 5.0, cpu_s([daemon.pid])
        time.sleep(window_s)
        idle = (cpu_s([daemon.pid]) - before) / window_s * 100
        memory = memory_mb(daemon.pid, "Rss")
        start = time.monotonic()
        daemon.stop(60)
        stopped_s = since(start)
    yield Figure(f"{count} queues: start -> all ready", "s", ready_s, None, at_most(30))
    yield Figure(f"{count} queues: start, per worker", "ms", ready_s / count * 1000)
    yield Figure(f"{count} queues: memory of the daemon", "MB", memory, None, at_most(150))
    yield Figure(f"{count} queues: idle CPU of the daemon", "%", idle, None, at_most(10))
    yield Figure(f"{count} queues: stop, per worker", "ms", stopped_s / count * 1000)


def load(bench: Bench) -> Iterator[Figure]:
    """Five minutes of 500 jobs a second: what grew since the first tenth, in which caches fill."""
    window_s = max(20.0, 300.0 * min(1.0, bench.scale))
    with bench.jobd({_QUEUE: {"handler": _HANDLER, "concurrency": 10, "keep_completed": 1000}}) as daemon:
        _some_load(bench, window_s / 10)
        before = Taken.by(daemon)
        _some_load(bench, window_s * 9 / 10)
        yield from _growth(f"{window_s:.0f} s of {_RATE} jobs/s", before, Taken.by(daemon))


def reloads(bench: Bench) -> Iterator[Figure]:
    """Two hundred reloads that add a queue, take it away, change a number: what grew since three hundred before them.

    Until then caches fill. What grows on is the daemon's memory of its log: some lines a reload, up to 8 MiB.
    """
    count = min(200, max(20, round(200 * bench.scale)))
    warm_up = count * 3 // 2
    base = {"handler": _HANDLER, "concurrency": 10}
    files = [{_QUEUE: base}, {_QUEUE: {**base, "concurrency": 20}, "another": base}]
    with bench.jobd(files[0]) as daemon:
        for number in range(1, warm_up + count + 1):
            daemon.write(files[number % 2])
            daemon.call("reload")
            if number == warm_up:
                before, start = Taken.by(daemon), time.monotonic()
        took_ms = since(start) / count * 1000
        after = Taken.by(daemon)
    yield Figure(f"a reload, of {count}", "ms", took_ms)
    yield from _growth(f"{count} reloads", before, after)


def _some_load(bench: Bench, seconds: float) -> None:
    bench.driver.ask("paced", _QUEUE, count=round(_RATE * seconds), every_ms=10, batch=_RATE // 100)


def _growth(what: str, before: Taken, after: Taken) -> Iterator[Figure]:
    grown = (after.daemon_mb / before.daemon_mb - 1) * 100
    yield Figure(f"{what}: daemon's memory grew", "%", grown, None, at_most(2))
    grown = (after.worker_mb / before.worker_mb - 1) * 100
    yield Figure(f"{what}: a worker's memory grew", "%", grown, None, at_most(2))
    for kind in ("files", "threads", "children"):
        more = getattr(after, kind) - getattr(before, kind)
        yield Figure(f"{what}: {kind} more", "", more, None, at_most(0))
