"""The same steps done by BullMQ and by us leave the same Redis, key for key and event for event."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.engine.adding import add_job
from jobd.engine.admin import pause_queue, remove_job, resume_queue, retry_job
from jobd.engine.keys import Keys
from jobd.engine.options import new_job
from jobd.engine.runner import SyncRunner
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.snapshot import snapshot

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat("adds with every option, deduplication, pause, retry, remove", "compared"),
]

PEER = Path(__file__).with_name("peer.cjs")
NOW = 1_795_486_443_666

Step = str | dict[str, Any]


def add(**options: Any) -> Step:
    """An add with our names of the options; times in ms."""
    return {"add": options}


DEDUPLICATIONS = [
    {"id": "d"},
    {"id": "d", "ttl": 60},
    {"id": "d", "ttl": 60, "extend": True},
    {"id": "d", "replace": True},
    {"id": "d", "replace": True, "ttl": 60},
    {"id": "d", "replace": True, "ttl": 60, "extend": True},
    {"id": "d", "keep_last_if_active": True},
    {"id": "d", "keep_last_if_active": True, "ttl": 60},
    {"id": "d", "keep_last_if_active": True, "replace": True},
    {"id": "d", "reschedule": True},
    {"id": "d", "reschedule": True, "ttl": 60, "extend": True},
]

STEPS: dict[str, list[Step]] = {
    "plain": [add(), add(lifo=True), add(priority=5), add(priority=5), add(priority=1), add(attempts=3)],
    "delayed": [add(delay=60), add(delay=60, priority=3), add(delay=5), add(delay=60)],
    "custom ids": [add(job_id="x"), add(job_id="x", delay=5), add(job_id="a:b:c", priority=2), add(job_id="01")],
    "options": [add(keep_completed=5, keep_failed={"age": 3600, "count": 2}, backoff=1.5, keep_logs=3, size_limit=100)],
    "paused": ["pause", add(), add(priority=1), add(delay=1), "resume", add()],
    "paused and nothing but delayed": ["pause", add(delay=1), "resume"],
    "removed": [
        add(job_id="x", deduplicate={"id": "d"}), add(delay=9), add(priority=1), {"remove": "x"}, {"remove": "2"},
        {"remove": "3"}, add(deduplicate={"id": "d"}),
    ],
    "retried": [
        add(job_id="x"), add(job_id="y", priority=7), {"fail": "x"}, {"fail": "y"}, {"retry": "x"}, {"retry": "y"},
    ],
} | {
    f"{json.dumps(de)} {where}": [
        add(deduplicate=de, delay=delay, job_id="first"), *between, add(deduplicate=de, delay=delay + 7, priority=2),
        add(deduplicate=de),
    ]
    for de in DEDUPLICATIONS
    for where, delay, between in (("waiting", 0, []), ("delayed", 60, []), ("active", 0, ["activate"]))
}  # fmt: skip


@pytest.fixture(scope="module")
def node(redis_server: RedisServer) -> Iterator[subprocess.Popen[str]]:
    with start_node(PEER, str(redis_server.port), "bull", "unused", "follow") as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def ours(redis_server: RedisServer, r: redis.Redis, keys: Keys, steps: list[Step]) -> list[str]:
    told = []
    with redis_server.raw() as client:
        runner = SyncRunner(client)
        for step in steps:
            if step == "activate":
                r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
            elif step == "pause":
                runner.run(pause_queue(keys, who="t", why=None, now_ms=NOW))
            elif step == "resume":
                runner.run(resume_queue(keys))
            elif isinstance(step, dict) and "add" in step:
                job = new_job("n", {"a": "/ü"}, {"timestamp": NOW, **step["add"]}, now_ms=NOW)
                told.append(runner.run(add_job(keys, job)).job_id)
            elif isinstance(step, dict):
                [(verb, job_id)] = step.items()
                act = {"fail": None, "retry": retry_job, "remove": remove_job}[verb]
                if act is None:
                    fail(r, keys, job_id)
                else:
                    runner.run(act(keys, job_id))
    return told


def fail(r: redis.Redis, keys: Keys, job_id: str) -> None:
    r.lrem(keys.wait, 1, job_id)
    r.zrem(keys.prioritized, job_id)
    r.zadd(keys.failed, {job_id: NOW})
    r.hset(keys.job(job_id), mapping={"failedReason": "boom", "finishedOn": NOW, "processedOn": NOW, "atm": 1})


def theirs(node: subprocess.Popen[str], r: redis.Redis, keys: Keys, steps: list[Step]) -> list[str]:
    told: list[str] = []
    part: list[Any] = []

    def run() -> None:
        if part:
            assert node.stdin is not None
            assert node.stdout is not None
            print(json.dumps({"prefix": keys.prefix, "queue": keys.queue, "steps": part}), file=node.stdin, flush=True)
            told.extend(json.loads(node.stdout.readline()))
            part.clear()

    for step in steps:
        if isinstance(step, dict) and "add" in step:
            job = new_job("n", {}, step["add"], now_ms=NOW)
            opts = {{"de": "deduplication", "kl": "keepLogs"}.get(key, key): value for key, value in job.opts.items()}
            part.append({"add": ["n", {"a": "/ü"}, {"timestamp": NOW, **opts}]})
        elif step == "activate":
            run()
            r.lmove(keys.wait, keys.active, "RIGHT", "LEFT")
        elif isinstance(step, dict) and "fail" in step:
            run()
            fail(r, keys, step["fail"])
        else:
            part.append(step)
    run()
    return told


def comparable(r: redis.Redis, keys: Keys) -> dict[str, Any]:
    found = snapshot(r, keys.base)
    for name, value in found.items():
        if isinstance(value, dict) and "opts" in value:
            value["opts"] = json.loads(value["opts"])
        if name.startswith("de:"):
            found[name] = (value, round(r.pttl(keys.base + name) / 30_000))
    found["meta"] = {key: value for key, value in found["meta"].items() if key in ("paused", "opts.maxLenEvents")}
    return found


@pytest.mark.parametrize("name", STEPS)
def test_the_same_steps_leave_the_same_redis(
    node: subprocess.Popen[str], redis_server: RedisServer, r: redis.Redis, prefix: str, name: str
) -> None:
    steps = STEPS[name]
    bull, jobd = Keys(prefix, "bull"), Keys(prefix, "jobd")
    their_ids, our_ids = theirs(node, r, bull, steps), ours(redis_server, r, jobd, steps)
    assert comparable(r, jobd) == comparable(r, bull)
    assert our_ids == their_ids
