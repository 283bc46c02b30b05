"""The numbers of a daemon, from what it knows and what Redis said: pure functions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from jobd.daemon.control.status_document import oldest_waiting_s, shown_state, why_idle
from jobd.daemon.views import QueueState
from jobd.operations.numbers import Numbers, QueueNumbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.daemon.control.status_document import RedisAnswer
    from jobd.daemon.counters import Counters
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.views import QueueView

_WORKER_STATES = ("starting", "ready", "quiet", "draining", "restarting")


def numbers_of(
    version: str,
    generation: int,
    *,
    ready: bool,
    redis: RedisAnswer,
    counters: Counters,
    queues: Iterable[tuple[Pool, QueueView]],
    now_ms: int,
) -> Numbers:
    """Return all of it. A queue that drains after its removal beside one that came back is counted with that one."""
    found: dict[str, QueueNumbers] = {}
    for pool, view in queues:
        if view.name not in found:
            found[view.name] = _queue(pool, view, redis, counters, now_ms)
    return Numbers(
        version=version,
        ready=ready,
        generation=generation,
        reloads=dict(counters.reloads),
        redis_up=redis.up,
        redis_s=None if redis.latency_ms is None else redis.latency_ms / 1000,
        queues=list(found.values()),
        schedules=counters.schedules,
    )


def _queue(pool: Pool, view: QueueView, redis: RedisAnswer, counters: Counters, now_ms: int) -> QueueNumbers:
    facts = redis.facts.get(view.name)
    why = why_idle(view, facts, redis_up=redis.up)
    memory: Counter[int] = Counter()
    for worker in view.workers:
        if worker.pid:
            memory[worker.number] += worker.memory_bytes
    own = counters.of(view.name)
    return QueueNumbers(
        name=view.name,
        state=shown_state(view, facts),
        why="" if why is None else why.value,
        jobs=None if facts is None else {state.replace("-", "_"): count for state, count in facts.counts.items()},
        oldest_waiting_s=oldest_waiting_s(facts, now_ms),
        busy=view.busy,
        free=max(0, view.slots - view.busy),
        breaker_open=view.state is QueueState.BREAKER,
        workers=_tally(view),
        memory=dict(memory),
        runs=own.runs(pool),
        waits=own.waits(pool),
        restarts=dict(own.restarts),
        renewals=dict(own.renewals),
    )


def _tally(view: QueueView) -> dict[str, int]:
    found = dict.fromkeys(_WORKER_STATES, 0)
    for worker in view.workers:
        found[worker.state] = found.get(worker.state, 0) + 1
    return found
