"""A crowd of jobs over two workers of jobd and two of BullMQ: each runs once, and limits hold by the server's clock.

$CROWD_JOBS is how many; `make crowd` asks for 20,000.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobd.client import Flow, Queue
from tests.interop.test_scenarios import STEPS
from tests.interop.with_workers import Step, does
from tests.interop.worker_sides import JobdSide, NodeSide
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.tables import assert_one_state_each
from tests.support.waiting import wait_until
from tests.support.worker_parent import HANDLERS, ROOT, WorkerParent

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

JOBS = int(os.environ.get("CROWD_JOBS", "2000"))
QUEUES = ("plain", "capped", "limited", "parents")
CAP = 3
LIMIT = {"max": max(JOBS // 100, 10), "duration": 200}
DEDUPLICATED = 20
RUNS = does([["return", 1]])
SUMS = does([["children"]])


@contextlib.contextmanager
def peer(url: str) -> Iterator[subprocess.Popen[str]]:
    with start_node(STEPS, url) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


@pytest.mark.compat("workers of both on one queue", "priorities, global concurrency, limiter, flows, deduplication")
def test_each_job_of_a_crowd_runs_once(redis_server: RedisServer, r: redis.Redis, prefix: str) -> None:
    with contextlib.ExitStack() as stack:
        node, other = (NodeSide(stack.enter_context(peer(redis_server.tcp_url)), r, prefix) for _ in range(2))
        parent = stack.enter_context(WorkerParent(redis_server.url, prefix, path=[str(HANDLERS), str(ROOT)]))
        parent.load("program:program", env={**os.environ, "PROGRAM_REDIS": redis_server.url})
        ours = [JobdSide(node.node, r, prefix, parent) for _ in range(2)]
        ids = added(node, redis_server, r, prefix)
        for queue in QUEUES:
            settings = {"concurrency": 5, **({"limiter": LIMIT} if queue == "limited" else {})}
            for side in (node, other, *ours):
                side.play([["work", queue, settings]])
        wait_until(lambda: ended(r, prefix) >= sum(map(len, ids.values())), 300, what="all have ended")
        by = Counter(r.hget(f"{prefix}:{queue}:{job_id}", "pb") for queue in QUEUES for job_id in ids[queue])
        for jobd in ours:
            for queue in QUEUES:
                jobd.play([["stop", queue]])
        other.close()
        node.close()
    for queue, expected in ids.items():
        assert set(r.zrange(f"{prefix}:{queue}:completed", 0, -1)) == expected, queue
        runs = r.mget([f"notes:{prefix}:{queue}:{job_id}" for job_id in expected])
        assert set(runs) == {"1"}, queue
        assert_one_state_each(r, prefix, queue)
    assert len([name for name in by if name and name.startswith("testhost")]) >= 2, by
    assert by["worker"] > 0, by
    assert most_at_once(r, f"{prefix}:capped:events") <= CAP
    starts = [moment for moment, event in stream(r, f"{prefix}:limited:events") if event["event"] == "active"]
    windows = -(-len(starts) // LIMIT["max"])
    assert starts[-1] - starts[0] >= (windows - 1) * LIMIT["duration"] - 5


def added(node: NodeSide, server: RedisServer, r: redis.Redis, prefix: str) -> dict[str, set[str]]:
    """Half of it by each; {queue: ids}."""
    node.ask([["global concurrency", "capped", CAP], *(["bulk", queue, []] for queue in QUEUES)])
    for queue in QUEUES:
        r.hset(f"{prefix}:{queue}:meta", "opts.maxLenEvents", 10_000_000)
    for queue, count in (("plain", JOBS // 2), ("capped", JOBS // 10), ("limited", JOBS // 10)):
        half = count // 2
        node.ask([["bulk", queue, bulk(half)]])
        with Queue(queue, url=server.url, prefix=prefix) as ours:
            ours.add_many([("job", RUNS, {"priority": n % 4}) for n in range(half)])
    flows: list[Step] = []
    for n in range(JOBS // 20):
        child = {"name": "job", "queueName": "plain", "data": RUNS, "opts": {"priority": n % 3}}
        flows.append(["flow", {"name": "sum", "queueName": "parents", "data": SUMS, "children": [child, child]}])
    node.ask(flows)
    with Queue("parents", url=server.url, prefix=prefix) as ours:
        for _ in range(JOBS // 20):
            ours.add_flow(Flow("sum", SUMS, children=[Flow("job", RUNS, queue="plain") for _ in range(2)]))
    repeated = [
        ["add", "plain", "job", RUNS, {"deduplication": {"id": f"d{n % DEDUPLICATED}"}}] for n in range(JOBS // 40)
    ]
    node.ask(repeated)
    ids = {queue: jobs_of(r, f"{prefix}:{queue}:") for queue in QUEUES}
    assert len(ids["plain"]) == JOBS // 2 + JOBS // 5 + min(DEDUPLICATED, len(repeated))
    return ids


def bulk(count: int) -> list[dict[str, Any]]:
    return [{"name": "job", "data": RUNS, "opts": {"priority": n % 5} if n % 5 else {}} for n in range(count)]


def jobs_of(r: redis.Redis, base: str) -> set[str]:
    lists = [*r.lrange(base + "wait", 0, -1), *r.zrange(base + "prioritized", 0, -1)]
    return {*lists, *r.zrange(base + "waiting-children", 0, -1)}


def ended(r: redis.Redis, prefix: str) -> int:
    return sum(r.zcard(f"{prefix}:{queue}:{state}") for queue in QUEUES for state in ("completed", "failed"))


def stream(r: redis.Redis, key: str) -> list[tuple[int, dict[str, str]]]:
    """Events with the server's ms."""
    return [(int(entry.partition("-")[0]), fields) for entry, fields in r.xrange(key)]


def most_at_once(r: redis.Redis, key: str) -> int:
    running = most = 0
    for _, event in stream(r, key):
        running += {"active": 1, "completed": -1, "failed": -1}.get(event["event"], 0)
        most = max(most, running)
    return most
