"""How many jobs a second, and what each costs Redis and the worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure, at_least, at_most, ratio_at_least, ratio_at_most
from benchmarks.sides import Bench, Side, cpu_s, since
from jobd.client import Queue
from tests.support.waiting import wait_until

_QUEUE = "drain"
_COUNTS = {1: 20_000, 10: 50_000, 100: 100_000}
"""Jobs to drain, by concurrency: a second or two each on a small machine."""

_WARM_UP = 3_000
"""Jobs before the clock starts: connections open, scripts loaded, and Node's compiler has seen the code."""

_DRAMATIQ = 6_400
"""Jobs a second of Dramatiq with threads on the 2-core machine that the bars were set on."""


@dataclass(frozen=True)
class Drained:
    """One drain. Jobs a second; microseconds of Redis CPU a job."""

    rate: float
    redis_us: float


def drain(bench: Bench) -> Iterator[Figure]:
    """Empty a full queue of jobs that do nothing; sides take turns, the median of the rounds counts."""
    node: dict[int, Drained] = {}
    jobd: dict[int, Drained] = {}
    for concurrency, count in _COUNTS.items():
        rounds = [(_jobd(bench, concurrency, count), _node(bench, concurrency, count)) for _ in range(bench.rounds)]
        jobd[concurrency] = _median([ours for ours, _ in rounds])
        node[concurrency] = _median([theirs for _, theirs in rounds])
    best = max(one.rate for one in node.values())
    for concurrency, bar in ((1, ratio_at_least(0.9)), (10, None)):
        name = f"drain, concurrency {concurrency}"
        yield Figure(name, "jobs/s", jobd[concurrency].rate, node[concurrency].rate, bar)
    yield Figure("drain, concurrency 100 (BullMQ: its best)", "jobs/s", jobd[100].rate, best, ratio_at_least(1.25))
    costs = jobd[100].redis_us, node[100].redis_us
    yield Figure("Redis CPU a job, concurrency 100", "us", *costs, ratio_at_most(0.45))


def drain_in_threads(bench: Bench) -> Iterator[Figure]:
    """`def` handlers in ten threads."""
    ours = _median([_jobd(bench, 10, _COUNTS[10], handler="thread") for _ in range(bench.rounds)])
    yield Figure("drain, def handlers, concurrency 10", "jobs/s", ours.rate, None, at_least(3 * _DRAMATIQ))


def drain_with_two_workers(bench: Bench) -> Iterator[Figure]:
    """Two worker processes on each side."""
    count = 2 * _COUNTS[100]
    rounds = [(_jobd(bench, 100, count, workers=2), _node(bench, 100, count, workers=2)) for _ in range(bench.rounds)]
    ours, theirs = _median([a for a, _ in rounds]), _median([b for _, b in rounds])
    yield Figure("drain, two worker processes", "jobs/s", ours.rate, theirs.rate, ratio_at_least(2))


def backlog(bench: Bench) -> Iterator[Figure]:
    """A job costs Redis the same with a million waiting behind it."""
    sample = bench.sized(20_000)
    few = _drain(bench, sample, bench.jobd({_QUEUE: _table(100)})).redis_us
    many = _drain(bench, sample, bench.jobd({_QUEUE: _table(100)}), behind=bench.sized(1_000_000)).redis_us
    yield Figure("Redis CPU a job, a million waiting / none", "x", many / few, None, at_most(1.1))


def steady(bench: Bench) -> Iterator[Figure]:
    """500 jobs a second for some seconds: what a thousand of them cost."""
    count = bench.sized(5_000)
    ours = _steady(bench, count, bench.jobd({_QUEUE: _table(10)}))
    theirs = _steady(bench, count, bench.node(_QUEUE, concurrency=10))
    yield Figure("500 jobs/s, worker CPU per 1000", "ms", ours[0], theirs[0], at_most(250))
    yield Figure("500 jobs/s, Redis CPU per 1000", "ms", ours[1], theirs[1], ratio_at_most(0.6))


def adding(bench: Bench) -> Iterator[Figure]:
    """One process adds, one at a time and many at once; nobody takes."""
    single, bulk = bench.sized(10_000), bench.sized(50_000)
    with Queue("add", url=bench.server.tcp_url) as queue:
        queue.counts()  # connected
        start = time.monotonic()
        for number in range(single):
            queue.add("noop", {"i": number})
        ours_single = single / since(start)
        start = time.monotonic()
        queue.add_many([("noop", {"i": number}) for number in range(bulk)])
        ours_bulk = bulk / since(start)
    theirs_single = single / bench.driver.ask("one_by_one", "add", count=single)
    theirs_bulk = bulk / bench.driver.ask("bulk", "add", count=bulk)
    bench.redis.flushall()
    yield Figure("add, one at a time", "jobs/s", ours_single, theirs_single, ratio_at_least(1))
    yield Figure("add, many at once", "jobs/s", ours_bulk, theirs_bulk, ratio_at_least(3))


def _jobd(bench: Bench, concurrency: int, count: int, *, workers: int = 1, handler: str = "coroutine") -> Drained:
    queues = {_QUEUE: {**_table(concurrency, handler), "workers": workers}}
    return _drain(bench, bench.sized(count), bench.jobd(queues))


def _node(bench: Bench, concurrency: int, count: int, *, workers: int = 1) -> Drained:
    side = bench.node(_QUEUE, workers=workers, concurrency=concurrency)
    return _drain(bench, bench.sized(count), side)


def _table(concurrency: int, handler: str = "coroutine") -> dict[str, object]:
    return {"handler": f"benchmarks.handlers:{handler}", "concurrency": concurrency}


def _drain(bench: Bench, count: int, side: AbstractContextManager[Side], *, behind: int = 0) -> Drained:
    """Warm the workers up, fill the paused queue, resume, and measure until `count` jobs are completed."""
    with side:
        bench.driver.ask("bulk", _QUEUE, count=_WARM_UP)
        _until_completed(bench, _WARM_UP)
        bench.driver.ask("pause", _QUEUE)
        bench.driver.ask("bulk", _QUEUE, count=count + behind)
        cpu, start = bench.redis_cpu_s(), time.monotonic()
        bench.driver.ask("resume", _QUEUE)
        done = _until_completed(bench, _WARM_UP + count) - _WARM_UP
        seconds, used = since(start), bench.redis_cpu_s() - cpu
    return Drained(rate=done / seconds, redis_us=used / done * 1e6)


def _until_completed(bench: Bench, count: int) -> int:
    """Wait until at least `count` jobs are completed; return how many are."""
    wait_until(lambda: bench.completed(_QUEUE) >= count, 300, what=f"{count} jobs are completed", every=0.005)
    return bench.completed(_QUEUE)


def _steady(bench: Bench, count: int, side: AbstractContextManager[Side]) -> tuple[float, float]:
    """Milliseconds of CPU per 1000 jobs: of the worker, of Redis."""
    with side as workers:
        pids = workers.pids
        redis, worker = bench.redis_cpu_s(), cpu_s(pids)
        bench.driver.ask("paced", _QUEUE, count=count, every_ms=10, batch=5)
        _until_completed(bench, count)
        return (cpu_s(pids) - worker) / count * 1e6, (bench.redis_cpu_s() - redis) / count * 1e6


def _median(rounds: list[Drained]) -> Drained:
    return Drained(median(one.rate for one in rounds), median(one.redis_us for one in rounds))
