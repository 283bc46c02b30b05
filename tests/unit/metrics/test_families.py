"""Every name of the page with its type, its labels and the values of those that are closed sets; and what is absent."""

from __future__ import annotations

import dataclasses
from typing import Any

from jobd.daemon.counters import Counters
from jobd.metrics.exposition import text_of
from jobd.metrics.families import families
from jobd.operations.numbers import Numbers, QueueNumbers, ScheduleNumbers
from jobd.protocol.counts import BOUNDS_S, ENDS, Histogram, Runs

_COUNTERS = Counters().of("email")

_QUEUE = QueueNumbers(
    name="email", state="breaker", why="breaker", oldest_waiting_s=1.5, busy=1, free=3, breaker_open=True,
    jobs={"waiting": 1, "active": 2, "delayed": 3, "prioritized": 4, "failed": 5, "completed": 6,
          "waiting_children": 7},
    workers={"ready": 2}, memory={0: 11, 1: 12}, runs={"welcome": Runs(tuple(range(len(ENDS)))), "other": Runs()},
    waits=Histogram((1,) * (len(BOUNDS_S) + 1), 9.0), restarts=_COUNTERS.restarts, renewals=_COUNTERS.renewals,
)  # fmt: skip
_WHOLE = Numbers(
    version="1.2", ready=True, generation=3, reloads=Counters().reloads, redis_up=True, redis_s=0.1, queues=[_QUEUE],
    schedules=[ScheduleNumbers("nightly", 1000.0, 2)],
)  # fmt: skip

_Q = {"queue": {"email"}}
_JOB = {**_Q, "job": {"welcome", "other"}}
_NAMES: dict[str, tuple[str, dict[str, set[str]]]] = {
    "jobd_jobs": (
        "counter",
        {**_JOB, "outcome": {"completed", "failed", "retried", "crashed", "timed_out", "expired", "cancelled",
                             "handed_back"}},
    ),
    "jobd_job_duration_seconds": ("histogram", _JOB),
    "jobd_job_wait_seconds": ("histogram", _Q),
    "jobd_queue_jobs": (
        "gauge",
        {**_Q, "state": {"waiting", "active", "delayed", "prioritized", "failed", "completed", "waiting_children"}},
    ),
    "jobd_queue_oldest_waiting_seconds": ("gauge", _Q),
    "jobd_queue": ("info", {**_Q, "state": {"breaker"}, "why": {"breaker"}}),
    "jobd_slots": ("gauge", {**_Q, "state": {"busy", "free"}}),
    "jobd_workers": ("gauge", {**_Q, "state": {"ready"}}),
    "jobd_worker_memory_bytes": ("gauge", {**_Q, "worker": {"0", "1"}}),
    "jobd_worker_restarts": (
        "counter", {**_Q, "reason": {"crash", "recycle", "memory", "timeout", "reload", "setup"}},
    ),
    "jobd_breaker_open": ("gauge", _Q),
    "jobd_lock_renewals": ("counter", {**_Q, "result": {"renewed", "lost"}}),
    "jobd_redis_up": ("gauge", {}),
    "jobd_redis_seconds": ("gauge", {}),
    "jobd_config_generation": ("gauge", {}),
    "jobd_config_reloads": ("counter", {"result": {"applied", "refused", "rolled_back"}}),
    "jobd_schedule_last_run_timestamp_seconds": ("gauge", {"schedule": {"nightly"}}),
    "jobd_schedule_missed": ("counter", {"schedule": {"nightly"}}),
    "jobd_ready": ("gauge", {}),
    "jobd_build": ("info", {"version": {"1.2"}}),
}  # fmt: skip


def served(numbers: Numbers) -> dict[str, tuple[str, dict[str, set[str]]]]:
    """Return {family: (type, {label: its values})}, a bucket's bound left out."""
    found: dict[str, tuple[str, dict[str, set[str]]]] = {}
    for family in families(numbers):
        labels: dict[str, set[str]] = {}
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    labels.setdefault(label, set()).add(value)
        if family.samples:
            found[family.name] = (family.type, labels)
    return found


def values(numbers: Numbers) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return {(sample, the values of its labels): its value}."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(numbers)
        for sample in family.samples
    }


def test_names_types_and_labels() -> None:
    assert served(_WHOLE) == _NAMES


def test_each_number_is_the_one_of_its_name() -> None:
    found = values(_WHOLE)
    for number, end in enumerate(ENDS):
        assert found["jobd_jobs_total", ("email", "welcome", end.value)] == number
    for state, count in (_QUEUE.jobs or {}).items():
        assert found["jobd_queue_jobs", ("email", state)] == count
    expected: dict[tuple[str, tuple[str, ...]], float] = {
        ("jobd_queue_info", ("email", "breaker", "breaker")): 1, ("jobd_breaker_open", ("email",)): 1,
        ("jobd_queue_oldest_waiting_seconds", ("email",)): 1.5, ("jobd_slots", ("email", "busy")): 1,
        ("jobd_slots", ("email", "free")): 3, ("jobd_worker_memory_bytes", ("email", "1")): 12,
        ("jobd_job_wait_seconds_bucket", ("email", "0.005")): 1, ("jobd_job_wait_seconds_bucket", ("email", "0.01")): 2,
        ("jobd_job_wait_seconds_bucket", ("email", "+Inf")): len(BOUNDS_S) + 1,
        ("jobd_job_wait_seconds_sum", ("email",)): 9, ("jobd_config_generation", ()): 3, ("jobd_redis_up", ()): 1,
        ("jobd_schedule_last_run_timestamp_seconds", ("nightly",)): 1000,
        ("jobd_schedule_missed_total", ("nightly",)): 2, ("jobd_build_info", ("1.2",)): 1, ("jobd_ready", ()): 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_what_redis_did_not_say_is_absent_and_never_0() -> None:
    queue = dataclasses.replace(_QUEUE, jobs=None, oldest_waiting_s=None)
    found = served(dataclasses.replace(_WHOLE, redis_up=False, redis_s=None, queues=[queue], schedules=[]))
    absent = {"jobd_queue_jobs", "jobd_queue_oldest_waiting_seconds", "jobd_redis_seconds",
              "jobd_schedule_last_run_timestamp_seconds", "jobd_schedule_missed"}  # fmt: skip
    assert set(_NAMES) - set(found) == absent
    assert values(dataclasses.replace(_WHOLE, redis_up=False))["jobd_redis_up", ()] == 0


def test_an_empty_queue_has_waited_0_and_a_schedule_that_never_ran_has_no_moment() -> None:
    queue = dataclasses.replace(_QUEUE, oldest_waiting_s=None)
    never = [ScheduleNumbers("nightly", None, 0)]
    found = values(dataclasses.replace(_WHOLE, queues=[queue], schedules=never))
    assert found["jobd_queue_oldest_waiting_seconds", ("email",)] == 0
    assert not [name for name, _ in found if name == "jobd_schedule_last_run_timestamp_seconds"]
    assert found["jobd_schedule_missed_total", ("nightly",)] == 0


def test_both_texts_end_counters_in_total_and_escape_what_names_hold() -> None:
    queue: Any = dataclasses.replace(_QUEUE, name='a"b\\c\nd')
    numbers = dataclasses.replace(_WHOLE, queues=[queue])
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        text = text_of(numbers, [], accept)[0].decode()
        assert 'jobd_breaker_open{queue="a\\"b\\\\c\\nd"} 1.0' in text
        assert 'jobd_config_reloads_total{result="refused"} 0.0' in text
        assert "_created" not in text
