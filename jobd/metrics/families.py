"""From the numbers of a daemon to Prometheus' metric families: every name and label is here."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from jobd.protocol.counts import BOUNDS_S, ENDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from jobd.operations.numbers import Numbers
    from jobd.protocol.counts import Histogram

_BOUNDS = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]


def families(numbers: Numbers) -> Iterator[Metric]:
    """Yield every family. What could not be asked for has no sample; it is never 0."""
    yield from _runs(numbers)
    yield from _queues(numbers)
    yield from _workers(numbers)
    yield from _daemon(numbers)
    yield from _schedules(numbers)


def _runs(numbers: Numbers) -> Iterator[Metric]:
    jobs = CounterMetricFamily(
        "jobd_jobs",
        "Runs of jobs by how they ended, each once.",
        labels=("queue", "job", "outcome"),
    )
    durations = HistogramMetricFamily("jobd_job_duration_seconds", "How long the handler ran.", labels=("queue", "job"))
    waits = HistogramMetricFamily(
        "jobd_job_wait_seconds", "From when a job was first due until it first started.", labels=("queue",)
    )
    for queue in numbers.queues:
        for label, runs in queue.runs.items():
            for end, count in zip(ENDS, runs.ends, strict=True):
                jobs.add_metric((queue.name, label, end.value), count)
            _add(durations, (queue.name, label), runs.durations)
        _add(waits, (queue.name,), queue.waits)
    yield from (jobs, durations, waits)


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    buckets = list(zip(_BOUNDS, accumulate(histogram.counts), strict=True))
    family.add_metric(labels, buckets, histogram.total_s)


def _queues(numbers: Numbers) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("jobd_queue_jobs", "Jobs in Redis by state.", labels=("queue", "state"))
    oldest = GaugeMetricFamily(
        "jobd_queue_oldest_waiting_seconds", "Age of the job that runs next, 0 when none waits.", labels=("queue",)
    )
    info = InfoMetricFamily("jobd_queue", "What the queue does here, and why it takes no job.", labels=("queue",))
    breaker = GaugeMetricFamily(
        "jobd_breaker_open", "1 while the queue is held back because its workers crash.", labels=("queue",)
    )
    for queue in numbers.queues:
        for state, count in (queue.jobs or {}).items():
            jobs.add_metric((queue.name, state), count)
        if queue.jobs is not None:
            oldest.add_metric((queue.name,), queue.oldest_waiting_s or 0.0)
        info.add_metric((queue.name,), {"state": queue.state, "why": queue.why})
        breaker.add_metric((queue.name,), float(queue.breaker_open))
    yield from (jobs, oldest, info, breaker)


def _workers(numbers: Numbers) -> Iterator[Metric]:
    slots = GaugeMetricFamily("jobd_slots", "Slots of the workers that run.", labels=("queue", "state"))
    workers = GaugeMetricFamily("jobd_workers", "Worker processes by state.", labels=("queue", "state"))
    memory = GaugeMetricFamily(
        "jobd_worker_memory_bytes", "Resident memory of a worker, by its number.", labels=("queue", "worker")
    )
    restarts = CounterMetricFamily(
        "jobd_worker_restarts", "Workers that were replaced, by reason.", labels=("queue", "reason")
    )
    renewals = CounterMetricFamily(
        "jobd_lock_renewals", "Locks of running jobs that were renewed, or found lost.", labels=("queue", "result")
    )
    for queue in numbers.queues:
        slots.add_metric((queue.name, "busy"), queue.busy)
        slots.add_metric((queue.name, "free"), queue.free)
        for state, count in queue.workers.items():
            workers.add_metric((queue.name, state), count)
        for number, size in queue.memory.items():
            memory.add_metric((queue.name, str(number)), size)
        for reason, count in queue.restarts.items():
            restarts.add_metric((queue.name, reason), count)
        for result, count in queue.renewals.items():
            renewals.add_metric((queue.name, result), count)
    yield from (slots, workers, memory, restarts, renewals)


def _daemon(numbers: Numbers) -> Iterator[Metric]:
    yield GaugeMetricFamily("jobd_redis_up", "1 when Redis answered within 300 ms.", float(numbers.redis_up))
    if numbers.redis_s is not None:
        yield GaugeMetricFamily("jobd_redis_seconds", "One round trip to Redis.", numbers.redis_s)
    yield GaugeMetricFamily("jobd_config_generation", "Number of the configuration in force.", numbers.generation)
    reloads = CounterMetricFamily("jobd_config_reloads", "Reloads by how they ended.", labels=("result",))
    for result, count in numbers.reloads.items():
        reloads.add_metric((result,), count)
    yield reloads
    yield GaugeMetricFamily("jobd_ready", "1 when every queue of this host is consumed.", float(numbers.ready))
    yield InfoMetricFamily("jobd_build", "The daemon's version.", {"version": numbers.version})


def _schedules(numbers: Numbers) -> Iterator[Metric]:
    last = GaugeMetricFamily(
        "jobd_schedule_last_run_timestamp_seconds", "When the schedule last made a job.", labels=("schedule",)
    )
    missed = CounterMetricFamily(
        "jobd_schedule_missed", "Moments of the schedule at which no job was made.", labels=("schedule",)
    )
    for schedule in numbers.schedules:
        if schedule.last_run_s is not None:
            last.add_metric((schedule.name,), schedule.last_run_s)
        missed.add_metric((schedule.name,), schedule.missed)
    yield from (last, missed)
