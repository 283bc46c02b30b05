"""The same jobs worked off by BullMQ's worker and by our turns leave the same events and the same keys."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.engine.job import Finish, Taken
from jobd.engine.outcome_policy import Policy, after_failure, after_success, read_opts
from jobd.engine.states import Outcome
from tests.support.node import run_node
from tests.support.queue_of import QueueOf
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat("turns of a worker: results, failures, delays, limits, events", "compared"),
]

ORACLE = Path(__file__).with_name("oracle.cjs")
NEXT = {"deduplication": {"id": "d", "keepLastIfActive": True}}

SCENARIOS: dict[str, list[Any]] = {
    "completes": [["ok", {"a": 1}, {}], ["nothing", None, {}]],
    "fails at once": [["fail", {}, {}]],
    "retried at once": [["flaky", {}, {"attempts": 2}], ["ok", {}, {}]],
    "retried at once, lifo": [["flaky", {}, {"attempts": 2, "lifo": True}], ["ok", {}, {}]],
    "retried later until it fails": [["fail", {}, {"attempts": 3, "backoff": {"type": "exponential", "delay": 20}}]],
    "fails for good with attempts left": [["fatal", {}, {"attempts": 3}]],
    "delayed by itself": [["later", {}, {}]],
    "not kept": [["ok", {}, {"removeOnComplete": True}], ["fail", {}, {"removeOnFail": True}]],
    "newest kept": [["ok", {"n": n}, {"removeOnComplete": 2}] for n in range(4)],
    "prioritized": [["ok", {"p": p}, {"priority": p}] for p in (5, 1, 5)],
    "prioritized and retried": [["flaky", {}, {"priority": 3, "attempts": 2}], ["ok", {}, {"priority": 3}]],
    "delayed": [["ok", {}, {"delay": 30}]],
    "delayed and prioritized": [["ok", {}, {"delay": 20, "priority": 2}]],
    "deduplicated": [["ok", {}, {"deduplication": {"id": "x"}}]],
    "deduplicated for a time": [["ok", {}, {"deduplication": {"id": "y", "ttl": 60000}}]],
    "parked behind a running one": [["parks", {"first": True, "next": NEXT}, NEXT]],
    "parked and delayed": [["parks", {"first": True, "next": {**NEXT, "delay": 25}}, NEXT]],
    "parked and prioritized": [["parks", {"first": True, "next": {**NEXT, "priority": 3}}, NEXT]],
    "rate limited": [["limited", {}, {}], ["ok", {}, {}]],
    "rate limited and prioritized": [["limited", {}, {"priority": 5}], ["ok", {}, {"priority": 5}]],
    **{
        f"attempts {attempts!r}": [["fail", {}, {"attempts": attempts}]]
        for attempts in ("3", 2.5, "2.5", " 2 ", "0x3", "1e0", -1, 1.5)
    },
    **{
        f"stackTraceLimit {limit!r}": [["fail", {}, {"attempts": 4, "stackTraceLimit": limit}]]
        for limit in ("1", 2.5, 0.5, "0", 0, -1, -9, True, "all", "")
    },
    **{f"removeOn… {keep!r}": [["ok", {}, {"removeOnComplete": keep}]] for keep in ("5", "", False, -1, 0)},
    **{
        f"backoff {backoff!r}": [["fail", {}, {"attempts": 3, "backoff": backoff}]]
        for backoff in (
            10, {"type": "fixed", "delay": "20"}, {"type": "exponential", "delay": "20"}, {"type": "fixed"},
            {"type": "fixed", "delay": -1}, {"type": "exponential", "delay": "soon"}, {"type": "fixed", "delay": 10.5},
            {"type": "exponential", "delay": 10, "jitter": "0"},
        )
    },
    **{
        f"lifo {lifo!r}": [["flaky", {}, {"attempts": 2, "lifo": lifo}], ["ok", {}, {}]] for lifo in ("yes", 1, False)
    },
    "few stack traces": [["fail", {}, {"attempts": 3, "stackTraceLimit": 2}]],
}  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_our_turns_leave_what_bullmq_leaves(
    redis_server: RedisServer, r: redis.Redis, prefix: str, scenario: str
) -> None:
    jobs = json.dumps(SCENARIOS[scenario])
    run_node(ORACLE, redis_server.tcp_url, prefix, "node", "run", jobs)
    run_node(ORACLE, redis_server.tcp_url, prefix, "ours", "add", jobs)
    ours, theirs = QueueOf(r, prefix, "ours"), QueueOf(r, prefix, "node")
    _work_off(ours, lambda data: run_node(ORACLE, redis_server.tcp_url, prefix, "ours", "add", json.dumps([data])))
    assert _comparable(ours) == _comparable(theirs)
    ours.assert_sound()
    ours.close()
    theirs.close()


def _work_off(q: QueueOf, add: Any) -> None:
    """One job at a time, each finish taking the next, as BullMQ's worker does with concurrency 1."""
    finishes: list[Finish] = []
    while True:
        reply = q.turn(*finishes, take=1, now=time.time_ns() // 1_000_000)
        assert not any(reply.codes)
        if not reply.jobs:
            if reply.next_due_ms is None and reply.limited_ms is None and finishes == []:
                return
            due = reply.next_due_ms or time.time() * 1000 + (reply.limited_ms or 0)
            wait_until(lambda due=due: time.time() * 1000 > due)
            finishes = []
            continue
        finishes = [_run(reply.jobs[0], add)]


def _run(job: Taken, add: Any) -> Finish:
    options, policy, data = read_opts(job.opts), Policy(), json.loads(job.data or b"{}")
    if job.name == "fail" or (job.name == "flaky" and job.attempts_made == 0):
        return after_failure(job, options, policy, "boom", "trace")
    if job.name == "fatal":
        return after_failure(job, options, policy, "fatal", "trace", final=True)
    if job.name == "later" and job.attempts_started == 1:
        return Finish(job.id, job.token, Outcome.LATER, delay_ms=30)
    if job.name == "limited" and job.attempts_started == 1:
        return Finish(job.id, job.token, Outcome.LIMITED, delay_ms=40)
    if job.name == "parks" and data["first"]:
        add(["parks", {"first": False}, data["next"]])
    return after_success(job, options, policy, b"null" if job.name == "nothing" else b'{"ok":true}')


def _comparable(q: QueueOf) -> dict[str, Any]:
    """Events with their fields in order, and all keys but the markers, without moments and traces."""
    result: dict[str, Any] = {}
    for key, value in q.tables().items():
        if not key.startswith(q.keys.base) or key == q.keys.marker:
            continue
        name = key.removeprefix(q.keys.base)
        if name == "events":
            value = [[_still(part) for pair in entry.items() for part in pair] for entry in value]
        elif isinstance(value, dict):
            value = {field: _field(field, text) for field, text in value.items()}
        result[name] = value
    return result


def _field(name: str, value: Any) -> Any:
    if name == "stacktrace":
        return len(json.loads(value))
    if name == "delay":
        return value if value == "0" else "some"
    return _still(str(value))


def _still(text: str) -> str:
    return re.sub(r"\d{12,}(\.\d+)?", "T", text)
