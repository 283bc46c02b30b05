"""The documents of `status`, `health` and `worker list`: pure functions from what is known to what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobd.daemon.views import DaemonState, QueueState
from jobd.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobd.daemon.views import QueueView, WorkerView
    from jobd.engine.reading import QueueFacts
    from jobd.operations.documents.daemon import ConfigFile, Health, LastReload, RedisState, Status
    from jobd.operations.documents.queues import Queue, QueueCounts
    from jobd.operations.documents.workers import Worker

_SHORT_LIMIT_MS = 5_000
"""A limit that is over sooner needs no words: it would be another one at each look."""

PAUSED = "paused"
"""The one state of a queue that only Redis knows."""


class Why(StrEnum):
    """Why a queue takes no job at this moment."""

    PAUSED = "paused"
    RATE_LIMITED = "rate_limited"
    MAXED = "maxed"
    NO_WORKERS = "no_workers"
    BREAKER = "breaker"
    QUIET = "quiet"
    REDIS_DOWN = "redis_down"
    NOTHING_DUE = "nothing_due"


@dataclass(frozen=True, slots=True)
class RedisAnswer:
    """What Redis said within its 300 ms. `facts` is {queue: its facts}; a queue that could not be read is missing.

    `latency_ms` is None when it did not answer, `version` also when it may not be asked for. `error` says why it did
    not answer, or why a queue could not be read.
    """

    url: str
    origin: str
    embedded: bool
    up: bool
    latency_ms: float | None
    version: str | None
    error: str | None
    facts: Mapping[str, QueueFacts]


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What the daemon knows about itself.

    `config_changed_s` is how long ago the files changed, None when they did not or it is not known. `last_reload` is
    the outcome of the last one, None before the first.
    """

    state: DaemonState
    degraded_by: Sequence[str]
    pid: int
    host: str
    version: str
    uptime_s: float
    generation: int
    reloaded_s: float | None
    incarnation: str
    config_path: str
    config_changed: bool
    config_changed_s: float | None
    code_changed: bool
    drift: Sequence[str]
    strangers: Sequence[str]
    last_reload: LastReload | None
    now_ms: int


def status_document(daemon: DaemonFacts, redis: RedisAnswer, queues: Iterable[QueueView]) -> Status:
    """Return what `jobd status --json` prints, `schema` aside."""
    return {
        "state": daemon.state.value,
        "degraded_by": list(daemon.degraded_by),
        "pid": daemon.pid,
        "host": daemon.host,
        "version": daemon.version,
        "uptime_s": round(daemon.uptime_s, 1),
        "generation": daemon.generation,
        "reloaded_s": None if daemon.reloaded_s is None else round(daemon.reloaded_s, 1),
        "incarnation": daemon.incarnation,
        "config": _config(daemon),
        "code": {"changed_on_disk": daemon.code_changed},
        "redis": _redis(redis),
        "drift": list(daemon.drift),
        "strangers": list(daemon.strangers),
        "last_reload": daemon.last_reload,
        "queues": [queue_document(view, redis, daemon.now_ms) for view in queues],
    }


def _config(daemon: DaemonFacts) -> ConfigFile:
    document: ConfigFile = {"path": daemon.config_path, "changed_on_disk": daemon.config_changed}
    if daemon.config_changed_s is not None:
        document["changed_s"] = round(daemon.config_changed_s, 1)
    return document


def _redis(redis: RedisAnswer) -> RedisState:
    return {
        "url": redis.url,
        "up": redis.up,
        "latency_ms": None if redis.latency_ms is None else round(redis.latency_ms, 2),
        "embedded": redis.embedded,
        "version": redis.version,
        "origin": redis.origin,
        "error": redis.error,
    }


def queue_document(view: QueueView, redis: RedisAnswer, now_ms: int) -> Queue:
    """Return one queue of the status document; counts are None, never 0, when Redis could not be asked."""
    facts = redis.facts.get(view.name)
    why = why_idle(view, facts, redis_up=redis.up)
    return {
        "name": view.name,
        "state": shown_state(view, facts),
        "why": None if why is None else why.value,
        "note": view.note or (None if facts is None else _pause_note(facts, now_ms) or _limit_note(facts)),
        "concurrency": view.concurrency,
        "slots": view.slots,
        "busy": view.busy,
        **_counts(facts),
        "oldest_waiting_s": oldest_waiting_s(facts, now_ms),
        "longest_active_s": _longest_active_s(view.workers),
        "done_per_min": view.done_per_min,
        "p95_ms": view.p95_ms,
        "memory_bytes": view.memory_bytes,
        "paused_by": None if facts is None else facts.paused_by,
        "paused_at": None if facts is None else facts.paused_at,
        "paused_why": None if facts is None else facts.paused_why or None,
        "workers": [worker_document(worker) for worker in view.workers],
    }


def _counts(facts: QueueFacts | None) -> QueueCounts:
    if facts is None:
        return {
            "waiting": None, "prioritized": None, "delayed": None, "active": None, "completed": None, "failed": None,
        }  # fmt: skip
    counts = facts.counts
    return {
        "waiting": counts["waiting"],
        "prioritized": counts["prioritized"],
        "delayed": counts["delayed"],
        "active": counts["active"],
        "completed": counts["completed"],
        "failed": counts["failed"],
    }


def worker_document(worker: WorkerView) -> Worker:
    """Return one worker of the status document."""
    return {
        "pid": worker.pid,
        "queue": worker.queue,
        "state": worker.state,
        "generation": worker.generation,
        "busy": worker.busy,
        "uptime_s": round(worker.uptime_s, 1),
        "memory_bytes": worker.memory_bytes,
        "jobs_done": worker.jobs_done,
        "restarts": worker.restarts,
        "jobs": [{"id": job.id, "name": job.name, "running_s": round(job.running_s, 3)} for job in worker.jobs],
        "why": worker.why,
    }


def shown_state(view: QueueView, facts: QueueFacts | None) -> str:
    """Return the state of a queue as people see it: a pause hides running and quiet, not a breaker or a drain."""
    if facts is not None and facts.paused and view.state in (QueueState.RUNNING, QueueState.QUIET):
        return PAUSED
    return view.state.value


def why_idle(view: QueueView, facts: QueueFacts | None, *, redis_up: bool) -> Why | None:
    """Return the first reason for which this host takes no job of the queue, None when it would take one.

    An empty queue has no reason: it takes what comes. `nothing_due` is told when jobs are there and all are due later.
    """
    if view.state is QueueState.BREAKER:
        return Why.BREAKER
    if not redis_up or not view.redis_up:
        return Why.REDIS_DOWN
    if facts is not None and facts.paused:
        return Why.PAUSED
    if view.state is QueueState.QUIET:
        return Why.QUIET
    if view.why is not None:
        return Why(view.why)
    return None if facts is None else _why_blocked(facts)


def _why_blocked(facts: QueueFacts) -> Why | None:
    counts = facts.counts
    if facts.limited_ms is not None:
        return Why.RATE_LIMITED
    if facts.concurrency is not None and counts["active"] >= facts.concurrency:
        return Why.MAXED
    ready = counts["waiting"] + counts["prioritized"] + counts["active"]
    return Why.NOTHING_DUE if counts["delayed"] and not ready else None


def _pause_note(facts: QueueFacts, now_ms: int) -> str | None:
    if not facts.paused or facts.paused_by is None:
        return None
    when = f" {format_duration(now_ms - facts.paused_at)} ago" if facts.paused_at is not None else ""
    return f"by {facts.paused_by}{when}" + (f': "{facts.paused_why}"' if facts.paused_why else "")


def _limit_note(facts: QueueFacts) -> str | None:
    if facts.limited_ms is None or facts.limited_ms < _SHORT_LIMIT_MS:
        return None
    return f"rate limit used up for {format_duration(facts.limited_ms // 1000 * 1000)} more"


def oldest_waiting_s(facts: QueueFacts | None, now_ms: int) -> float | None:
    """Return the age of the job that runs next; None when none waits, or Redis could not be asked."""
    if facts is None or facts.oldest_waiting_at is None:
        return None
    # The producer's clock may be ahead of ours.
    return max(0.0, round((now_ms - facts.oldest_waiting_at) / 1000, 3))


def _longest_active_s(workers: Iterable[WorkerView]) -> float | None:
    running = [job.running_s for worker in workers for job in worker.jobs]
    return round(max(running), 3) if running else None


def health_document(state: DaemonState, live: tuple[bool, str | None], ready: tuple[bool, str | None]) -> Health:
    """Return what `jobd health --json` prints; `why` says in one text what keeps it from being live or ready."""
    return {"state": state.value, "live": live[0], "ready": ready[0], "why": live[1] or ready[1]}
