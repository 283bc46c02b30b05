"""How many jobs a second, and what each costs Redis and the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.figures import Figure, compared, ratio_at_least, ratio_at_most
from benchmarks.rounds import Rounds, interleaved
from benchmarks.sides import Bench, Side, cpu_s, memory_mb, since
from jobd.client import Queue
from tests.support.waiting import wait_until

_QUEUE = "drain"
_COUNTS = {1: 20_000, 10: 50_000, 100: 100_000}
"""Jobs to drain, by concurrency: a second or two each on a small machine."""

_WARM_UP = 3_000
"""Jobs before the clock starts: connections open, scripts loaded, and Node's compiler has seen the code."""

_KEYS = 100
"""Keys of the queue that is limited per key."""

_BEST = 50
"""Slots with which BullMQ's worker drains fastest on a small machine."""


@dataclass(frozen=True)
class Drained:
    """One drain. Jobs a second; microseconds of Redis CPU a job."""

    rate: float
    redis_us: float


def drain(bench: Bench) -> Iterator[Figure]:
    """Empty a full queue of jobs that do nothing, with 1, 10 and 100 slots.

    BullMQ's best is at 50 slots: that is what more than one slot is compared with.
    """
    one = _both(bench, "drain, concurrency 1", 1, 1)
    yield compared("drain, concurrency 1", "jobs/s", one.figures(_rate), ratio_at_least(1.4))
    ten = _both(bench, "drain, concurrency 10", 10, _BEST)
    yield compared("drain, concurrency 10 (BullMQ: its best)", "jobs/s", ten.figures(_rate), ratio_at_least(1.5))
    hundred = _both(bench, "drain, concurrency 100", 100, _BEST)
    yield compared("drain, concurrency 100 (BullMQ: its best)", "jobs/s", hundred.figures(_rate), ratio_at_least(2.5))
    yield compared("Redis CPU a job, concurrency 100", "us", hundred.figures(_redis_us), ratio_at_most(0.33))


def drain_in_threads(bench: Bench) -> Iterator[Figure]:
    """`def` handlers in ten threads, beside BullMQ's best."""
    both = _both(bench, "drain, threads", 10, _BEST, handler="thread")
    name = "drain, def handlers, concurrency 10"
    yield compared(f"{name} (BullMQ: its best)", "jobs/s", both.figures(_rate), ratio_at_least(1.25))


def drain_with_two_workers(bench: Bench) -> Iterator[Figure]:
    """Two worker processes on each side."""
    both = _both(bench, "drain, two workers", 100, 100, workers=2)
    yield compared("drain, two worker processes", "jobs/s", both.figures(_rate), ratio_at_least(3.5))


def busy_workers(bench: Bench) -> Iterator[Figure]:
    """A hundred workers of twenty queues, all with work: what they do, and what that takes of their daemon."""
    queues = {f"busy-{number}": {**_table(10), "workers": 5} for number in range(20)}
    each = bench.sized(10_000)
    with bench.jobd(queues, ready_s=120) as daemon:
        for name in queues:
            bench.driver.ask("pause", name)
            bench.fill(name, each)
        before, start = cpu_s([daemon.pid]), time.monotonic()
        for name in queues:
            bench.driver.ask("resume", name)
        wait_until(lambda: all(bench.completed(name) >= each for name in queues), 600, what="all are completed")
        seconds, used = since(start), cpu_s([daemon.pid]) - before
        memory = memory_mb(daemon.pid, "Rss")
    yield Figure("100 busy workers of 20 queues", "jobs/s", each * len(queues) / seconds)
    yield Figure("100 busy workers: CPU of the daemon", "%", used / seconds * 100)
    yield Figure("100 busy workers: memory of the daemon", "MB", memory)


def backlog(bench: Bench) -> Iterator[Figure]:
    """What a job costs Redis with a million waiting behind it, over 40,000: on both sides."""
    sample, few, many = bench.sized(20_000), bench.sized(40_000), bench.sized(1_000_000)

    def growth(side: Callable[[], AbstractContextManager[Side]]) -> float:
        costs = [_drain(bench, sample, side(), behind=behind - sample).redis_us for behind in (few, many)]
        return costs[1] / costs[0]

    rounds = interleaved(
        bench, "a million waiting", once=True, jobd=lambda: growth(lambda: bench.jobd({_QUEUE: _table(100)})),
        node=lambda: growth(lambda: bench.node(_QUEUE, concurrency=_BEST)),
    )  # fmt: skip
    name = "Redis CPU a job, 1,000,000 waiting / 40,000"
    yield compared(name, "x", rounds.figures(lambda one: one), ratio_at_most(1))


def batches(bench: Bench) -> Iterator[Figure]:
    """A model's call for up to 32 jobs, beside the same call for each."""
    count, call = bench.sized(20_000), "benchmarks.handlers"
    rounds = interleaved(
        bench, "batches of 32",
        lambda: _drain(bench, count, bench.jobd({_QUEUE: {"handler": f"{call}:batch", "batch": {"max": 32}}})),
        lambda: _drain(bench, count, bench.jobd({_QUEUE: {"handler": f"{call}:one_by_one"}})),
    )  # fmt: skip
    name = "drain in batches of 32 (other side: one by one)"
    yield compared(name, "jobs/s", rounds.figures(_rate), ratio_at_least(1.5))


def per_key(bench: Bench) -> Iterator[Figure]:
    """What a limit per key costs Redis, with 100 keys, beside the same queue without."""
    count, limit = bench.sized(50_000), {"key": "key", "concurrency": 4}

    def cost(table: dict[str, object]) -> Drained:
        return _drain(bench, count, bench.jobd({_QUEUE: {**_table(100), **table}}), keys=_KEYS)

    rounds = interleaved(bench, "100 keys limited", lambda: cost({"per_key": limit}), lambda: cost({}))
    name = "Redis CPU a job, 100 keys limited (other side: none)"
    yield compared(name, "us", rounds.figures(_redis_us), ratio_at_most(1.4))


def steady(bench: Bench) -> Iterator[Figure]:
    """500 jobs a second for some seconds: what a thousand of them cost."""
    count = bench.sized(5_000)
    rounds = interleaved(
        bench, "500 jobs/s", lambda: _steady(bench, count, bench.jobd({_QUEUE: _table(10)})),
        lambda: _steady(bench, count, bench.node(_QUEUE, concurrency=10)),
    )  # fmt: skip
    worker, redis = rounds.figures(lambda one: one[0]), rounds.figures(lambda one: one[1])
    yield compared("500 jobs/s, worker CPU per 1000", "ms", worker, ratio_at_most(0.35))
    yield compared("500 jobs/s, Redis CPU per 1000", "ms", redis, ratio_at_most(0.55))


def adding(bench: Bench) -> Iterator[Figure]:
    """One process adds, one at a time and many at once; nobody takes."""
    single, bulk = bench.sized(10_000), bench.sized(50_000)

    def ours() -> tuple[float, float]:
        with Queue("add", url=bench.server.tcp_url) as queue:
            queue.counts()  # connected
            start = time.monotonic()
            for number in range(single):
                queue.add("noop", {"i": number})
            one_by_one = single / since(start)
            start = time.monotonic()
            queue.add_many([("noop", {"i": number}) for number in range(bulk)])
            rates = one_by_one, bulk / since(start)
        bench.redis.flushall()
        return rates

    def theirs() -> tuple[float, float]:
        one_by_one = single / bench.driver.ask("one_by_one", "add", count=single)
        rates = one_by_one, bulk / bench.driver.ask("bulk", "add", count=bulk)
        bench.redis.flushall()
        return rates

    rounds = interleaved(bench, "add", ours, theirs)
    yield compared("add, one at a time", "jobs/s", rounds.figures(lambda one: one[0]), ratio_at_least(1.3))
    yield compared("add, many at once", "jobs/s", rounds.figures(lambda one: one[1]), ratio_at_least(4))


def _both(
    bench: Bench, name: str, ours: int, theirs: int, *, workers: int = 1, handler: str = "coroutine"
) -> Rounds[Drained]:
    """Drain with so many slots on each side, in turn."""
    count = _COUNTS[ours] * workers
    return interleaved(
        bench, name, lambda: _jobd(bench, ours, count, workers=workers, handler=handler),
        lambda: _node(bench, theirs, count, workers=workers),
    )  # fmt: skip


def _jobd(bench: Bench, concurrency: int, count: int, *, workers: int = 1, handler: str = "coroutine") -> Drained:
    queues = {_QUEUE: {**_table(concurrency, handler), "workers": workers}}
    return _drain(bench, bench.sized(count), bench.jobd(queues))


def _node(bench: Bench, concurrency: int, count: int, *, workers: int = 1) -> Drained:
    side = bench.node(_QUEUE, workers=workers, concurrency=concurrency)
    return _drain(bench, bench.sized(count), side)


def _table(concurrency: int, handler: str = "coroutine") -> dict[str, object]:
    return {"handler": f"benchmarks.handlers:{handler}", "concurrency": concurrency}


def _drain(bench: Bench, count: int, side: AbstractContextManager[Side], *, behind: int = 0, keys: int = 0) -> Drained:
    """Warm the workers up, fill the paused queue, resume, and measure until `count` jobs are completed."""
    with side:
        bench.driver.ask("bulk", _QUEUE, count=_WARM_UP)
        _until_completed(bench, _WARM_UP)
        bench.driver.ask("pause", _QUEUE)
        bench.driver.ask("bulk", _QUEUE, count=count, keys=keys)
        bench.fill(_QUEUE, behind)
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


def _rate(one: Drained) -> float:
    return one.rate


def _redis_us(one: Drained) -> float:
    return one.redis_us
