"""What the pools look like from outside; reads the boards, never Redis."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from jobd.daemon.processes.hold import HeldBy
from jobd.daemon.processes.kernel import memory_bytes
from jobd.daemon.processes.pool import PoolState
from jobd.daemon.views import JobView, QueueState, QueueView, WorkerView
from jobd.duration import format_duration
from jobd.protocol.board import BUCKETS, bucket_limit_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.worker_state import Worker

_MINUTE_S = 60


class Tally:
    """Runs of one queue over the lives of its workers: how many in the last minute, how long they took.

    `pools` are all pools of that queue: one that was removed and came back may still have workers that drain.
    """

    def __init__(self) -> None:
        self._gone_done = self._gone_failed = 0
        self._gone_histogram = [0] * BUCKETS
        self._samples: deque[tuple[float, int]] = deque()

    def worker_gone(self, worker: Worker) -> None:
        """Keep what an ended worker had done."""
        if worker.board is not None:
            self._gone_done += worker.board.jobs_done
            self._gone_failed += worker.board.jobs_failed
            self._gone_histogram = [a + b for a, b in zip(self._gone_histogram, worker.board.histogram(), strict=True)]

    def sample(self, pools: Iterable[Pool], now: float) -> None:
        """Note the count; once a second or so."""
        self._samples.append((now, self.runs(pools)[0]))
        while len(self._samples) > 1 and self._samples[0][0] < now - _MINUTE_S:
            self._samples.popleft()

    def done_per_min(self, pools: Iterable[Pool]) -> int:
        """Runs that ended in the last minute."""
        return self.runs(pools)[0] - self._samples[0][1] if self._samples else 0

    def runs(self, pools: Iterable[Pool]) -> tuple[int, int]:
        """Return runs that ended since the daemon's start, and how many of them in an error."""
        boards = [worker.board for pool in pools for worker in pool.workers() if worker.board is not None]
        return (
            self._gone_done + sum(board.jobs_done for board in boards),
            self._gone_failed + sum(board.jobs_failed for board in boards),
        )

    def p95_ms(self, pool: Pool) -> float | None:
        """Upper bound of the run time that 95% of the runs kept; None before the first."""
        histogram = list(self._gone_histogram)
        for worker in pool.workers():
            if worker.board is not None:
                histogram = [a + b for a, b in zip(histogram, worker.board.histogram(), strict=True)]
        wanted, seen = sum(histogram) * 0.95, 0
        if not wanted:
            return None
        for bucket, count in enumerate(histogram):
            seen += count
            if seen >= wanted:
                return bucket_limit_s(bucket) * 1000
        return None


def queue_view(pool: Pool, of_queue: Iterable[Pool], tally: Tally, now: float) -> QueueView:
    """Return one queue as this host knows it; `of_queue` are all pools of its name."""
    workers = [worker_view(pool, worker, now) for worker in pool.workers()]
    workers += [
        WorkerView(
            0, pool.name, "restarting", pool.generation, 0, 0.0, 0, 0, place.restarts, [], number=place.number - 1
        )
        for place in pool.places.values()
        if place.vacant
    ]
    up = [worker for worker in pool.workers() if worker.is_up]
    redis_up = all(worker.redis_up for worker in up)
    state, why = _state(pool, redis_up=redis_up, any_up=bool(up))
    return QueueView(
        name=pool.name,
        state=state,
        why=why,
        concurrency=pool.queue.concurrency,
        slots=len(up) * pool.queue.jobs_at_once,
        busy=sum(view.busy for view in workers),
        workers=workers,
        note=_note(pool, now),
        done_per_min=tally.done_per_min(of_queue),
        p95_ms=tally.p95_ms(pool),
        memory_bytes=sum(view.memory_bytes for view in workers),
        redis_up=redis_up,
    )


def worker_view(pool: Pool, worker: Worker, now: float) -> WorkerView:
    """Return one worker."""
    jobs = [JobView(v.job_id, v.name, max(0.0, now - v.started_at)) for v in worker.slots()]
    place = pool.place_of(worker)
    return WorkerView(
        pid=worker.pid,
        queue=pool.name,
        state=worker.shown_state,
        generation=worker.generation,
        busy=worker.board.busy if worker.board is not None else 0,
        uptime_s=round(now - worker.started_at, 3),
        memory_bytes=memory_bytes(worker.pid) if worker.pid else 0,
        jobs_done=worker.board.jobs_done if worker.board is not None else 0,
        restarts=place.restarts if place else 0,
        jobs=jobs,
        why=worker_trouble(worker, now),
        number=worker.number,
    )


def worker_trouble(worker: Worker, now: float) -> str | None:
    """Say what is wrong with a worker that is up, or None."""
    if not worker.is_up:
        return None
    if worker.loop_stands_since is not None:
        return f"its event loop has not turned for {now - worker.loop_stands_since:.0f}s"
    return None if worker.redis_trouble is None else f"redis: {worker.redis_trouble}"


def _state(pool: Pool, *, redis_up: bool, any_up: bool) -> tuple[QueueState, str | None]:
    if pool.state is PoolState.REMOVED:
        return QueueState.DRAINING, "no_workers"
    if pool.hold.by is HeldBy.BREAKER:
        return QueueState.BREAKER, "breaker"
    if pool.is_quiet:
        return QueueState.QUIET, "quiet"
    if not any_up:
        return QueueState.RUNNING, "no_workers"
    return QueueState.RUNNING, None if redis_up and not pool.withheld else "redis_down"


def held_note(reason: str, left_s: float) -> str:
    """Return why a queue is held back and for how long, in the first line; a traceback is left to those below it."""
    first, newline, rest = reason.partition("\n")
    return f"{first}; retry in {format_duration(max(0.0, left_s) * 1000)}{newline}{rest}"


def _note(pool: Pool, now: float) -> str | None:
    if pool.state is PoolState.REMOVED:
        return f"removed in generation {pool.removed_in}"
    if pool.hold.is_on:
        return held_note(pool.hold.reason, pool.hold.until - now)
    if pool.quieted_by is not None:
        return f"quiet {pool.quieted_by.told(now)}"
    if pool.queue.quiet:
        return "quiet = true in the file"
    auto = pool.autoscale
    if auto.scaling.moves and pool.scaled_to is None and auto.why:
        return f"{auto.workers} of {auto.scaling.min} to {auto.scaling.max} workers: {auto.why}"
    return None
