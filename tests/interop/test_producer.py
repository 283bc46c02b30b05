"""Producers, operators and readers of both sides on one queue: ours in Python, BullMQ's in Node."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.client import Queue
from jobd.engine.states import State
from jobd.errors import JobFailed
from tests.support.node import run_node
from tests.support.operations import perform
from tests.support.redis_server import RedisServer

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat("plain jobs", "jobd adds, BullMQ runs"),
    pytest.mark.compat("reading: counts, states, jobs, events, pause", "both read what the other made"),
]

PEER = Path(__file__).with_name("peer.cjs")


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("mail", url=redis_server.url, prefix=prefix) as queue:
        yield queue


@pytest.fixture
def node(redis_server: RedisServer, prefix: str) -> Any:
    def peer(verb: str) -> Any:
        return json.loads(run_node(PEER, str(redis_server.port), prefix, "mail", verb))

    return peer


def operate(queue: Queue, name: str, **params: Any) -> Any:
    return perform(queue.source.url, queue.source.prefix, name, queue="mail", **params)


def test_node_runs_what_python_adds_and_its_results_come_back(queue: Queue, node: Any) -> None:
    handles = queue.add_many(
        [
            ("plain", {"i": 1}),
            ("text", "wörld/\u0000"),
            ("bad", {}),
            ("gone", {"i": 2}, {"keep_completed": False}),
            ("prio", None, {"priority": 1, "job_id": "a:b:c"}),
            ("front", [], {"lifo": True}),
        ]
    )
    queue.add("again", job_id="a:b:c")
    results: dict[str, Any] = {}
    waits = [
        threading.Thread(target=lambda h=handle: results.__setitem__(h.id, result_or_error(h))) for handle in handles
    ]
    for wait in waits:
        wait.start()
    told = node("work")
    for wait in waits:
        wait.join(20)
    assert told["failed"] == []
    assert told["ran"] == [
        ["front", []], ["plain", {"i": 1}], ["text", "wörld/\u0000"], ["bad", {}], ["gone", {"i": 2}], ["prio", None],
    ]  # fmt: skip
    assert results["1"] == {"got": {"i": 1}}
    assert isinstance(results["3"], JobFailed)
    assert results["3"].reason == "boom"
    assert results["4"] == {"got": {"i": 2}}
    assert results["a:b:c"] == {"got": None}
    kinds = [event for event, _ in told["seen"]]
    assert kinds[:2] == ["added", "waiting"]
    assert (kinds.count("added"), kinds.count("completed"), kinds.count("failed"), kinds.count("duplicated")) == (
        6, 5, 1, 1,
    )  # fmt: skip
    assert ["added", {"jobId": "1", "name": "plain"}] in told["seen"]


def result_or_error(handle: Any) -> Any:
    try:
        return handle.wait(timeout=40)
    except Exception as error:
        return error


def test_python_reads_what_node_adds(queue: Queue, node: Any) -> None:
    node("add")
    counts = queue.counts()
    assert (counts["prioritized"], counts["delayed"]) == (1, 1)
    job = queue.get("node-1")
    assert job is not None
    assert (job.name, job.data, job.priority, job.state) == (
        "welcome", {"userId": 7, "text": "wörld/"}, 4, State.PRIORITIZED,
    )  # fmt: skip
    assert job.opts["backoff"] == {"type": "exponential", "delay": 1000}
    assert job.broken == []
    assert queue.add("welcome", job_id="node-1").duplicate
    assert queue.add("later", deduplicate="d").deduplicated


def test_node_reads_every_kind_of_job_python_adds(queue: Queue, node: Any) -> None:
    queue.add("plain", {"x": 1}, attempts=3, backoff="5s", keep_completed=10, keep_failed={"age": "1h"})
    queue.add("later", delay="60s", priority=3, deduplicate="d")
    queue.add("prio", priority=2)
    told = node("look")
    jobs = {job["name"]: job for job in told["jobs"]}
    assert jobs["plain"]["opts"] == {
        "attempts": 3, "backoff": {"type": "fixed", "delay": 5000}, "removeOnComplete": 10,
        "removeOnFail": {"age": 3600},
    }  # fmt: skip
    assert jobs["later"]["deduplicationId"] == "d"
    assert told["states"] == {"1": "waiting", "2": "delayed", "3": "prioritized"}


def test_node_sees_a_pause_and_its_reason_does_no_harm(queue: Queue, node: Any) -> None:
    queue.add("plain")
    operate(queue, "queue.pause", reason="cdn down")
    told = node("look")
    assert told["paused"] is True
    assert told["meta"]["paused"] is True
    operate(queue, "queue.resume")
    told = node("look")
    assert told["paused"] is False
    assert "jobd:paused_by" not in told["meta"]
    assert node("work")["ran"] == [["plain", {}]]


def test_node_runs_what_python_retries_and_not_what_it_removes(queue: Queue, node: Any) -> None:
    bad, other = queue.add("bad"), queue.add("bad")
    node("work")
    assert queue.counts()["failed"] == 2
    operate(queue, "job.remove", ids=[other.id])
    assert operate(queue, "job.retry", ids=[bad.id])["done"] == 1
    told = node("look")
    assert told["states"] == {bad.id: "waiting"}
    assert "failedReason" not in told["jobs"][0]
    assert told["jobs"][0]["attemptsMade"] == 1
    assert node("work")["ran"] == [["bad", {}]]
