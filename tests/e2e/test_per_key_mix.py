"""A limit per key beside flows, deduplication and what Node adds: at most so many run, and everything ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from jobd.client import Flow, Queue
from tests.support.node import run_node
from tests.support.waiting import wait_until

TABLE = (
    '[queues.a]\nhandler = "daemon_handlers:slow"\nconcurrency = 8\nbackoff = "10ms"\n'
    'per_key = { key = "t", concurrency = 1 }\n[queues.a.jobs]\nflaky = "daemon_handlers:flaky"\n'
)


@pytest.fixture
def most(r: redis.Redis, prefix: str) -> Callable[[int], dict[str, int]]:
    """Return what waits until so many jobs are completed, and tells how many of each key ran at once at most."""

    def watch(count: int) -> dict[str, int]:
        found: dict[str, int] = {}
        base = f"{prefix}:a:"

        def over() -> bool:
            running: dict[str, int] = {}
            for job in r.lrange(base + "active", 0, -1):
                key = r.hget(base + job, "jobdkey")
                if key is not None and r.hget(base + job, "processedOn"):
                    running[key] = running.get(key, 0) + 1
            for key, number in running.items():
                found[key] = max(found.get(key, 0), number)
            return bool(r.zcard(base + "completed") >= count)

        wait_until(over, 30, what=f"{count} jobs are completed", every=0.005)
        return found

    return watch


@pytest.fixture
def queue(redis_server, prefix):
    with Queue("a", url=redis_server.url, prefix=prefix) as opened:
        yield opened


def test_children_and_their_parent_share_the_key_and_the_parent_runs_last(make, r, prefix, queue, most, tmp_path):
    mark = tmp_path / "mark"
    data = {"t": "x", "s": 0.01, "mark": str(mark)}
    trees = [queue.add_flow(Flow("sum", data, children=[Flow("part", data) for _ in range(5)])) for _ in range(3)]
    make(TABLE)
    assert most(18) == {'"x"': 1}
    lines = [line.split()[:2] for line in mark.read_text().splitlines()]
    # One at a time: each start is followed by its own end.
    assert [job for what, job in lines if what == "start"] == [job for what, job in lines if what == "end"]
    assert all(lines[at][1] == lines[at + 1][1] for at in range(0, len(lines), 2))
    order = [job for what, job in lines if what == "start"]
    for tree in trees:
        assert max(order.index(child.job.id) for child in tree.children) < order.index(tree.job.id)
    assert not r.keys(f"{prefix}:a:jobd-aside:*")


def test_a_job_that_waits_for_its_key_holds_its_deduplication_id_and_can_be_replaced(
    make, jobs, r, prefix, queue, tmp_path
):
    until = tmp_path / "until"
    make(TABLE)
    held = queue.add("x", {"t": "x", "until": str(until)})
    jobs("a").wait_state(held.id, "active")
    waits = queue.add("x", {"t": "x", "s": 0, "n": 1}, deduplicate="d")
    jobs("a").wait_state(waits.id, "delayed")
    again = queue.add("x", {"t": "x", "s": 0, "n": 2}, deduplicate="d")
    assert (again.deduplicated, again.id) == (True, waits.id)
    newer = queue.add(
        "x", {"t": "x", "s": 0, "n": 3}, deduplicate={"id": "e", "replace": True, "ttl": "1m"}, delay="1h"
    )
    newest = queue.add(
        "x", {"t": "x", "s": 0, "n": 4}, deduplicate={"id": "e", "replace": True, "ttl": "1m"}, delay="10ms"
    )
    assert newest.id != newer.id
    assert queue.get(newer.id) is None
    jobs("a").wait_state(newest.id, "delayed")
    until.touch()
    for job in (held, waits, newest):
        jobs("a").wait_state(job.id, "completed")
    free = queue.add("x", {"t": "x", "s": 0, "n": 5}, deduplicate="d")
    assert not free.deduplicated
    jobs("a").wait_state(free.id, "completed")
    wait_until(lambda: not r.keys(f"{prefix}:a:jobd-aside:*"))


PRODUCER = """
const { Queue, FlowProducer } = require("bullmq");
const [port, prefix] = process.argv.slice(2);
const at = { connection: { host: "127.0.0.1", port: Number(port) }, prefix };
(async () => {
  const queue = new Queue("a", at);
  for (let n = 0; n < 24; n++)
    await queue.add(n % 6 ? "x" : "flaky", { t: n % 2, s: 0.01 }, {
      attempts: 3, priority: n % 3, delay: n % 4 ? 0 : 30, deduplication: { id: `d${n}` },
      backoff: { type: "fixed", delay: 10 },
    });
  const flows = new FlowProducer(at);
  const child = { name: "x", queueName: "a", data: { t: 1, s: 0.01 } };
  await flows.add({ name: "x", queueName: "a", data: { t: 0, s: 0.01 }, children: [child, child, child] });
  await flows.close();
  await queue.close();
})();
"""


@pytest.mark.node
def test_what_node_adds_keeps_the_limit_with_delays_priorities_retries_and_flows(
    make, r, prefix, queue, redis_server, most, tmp_path: Path
):
    script = tmp_path / "producer.cjs"
    script.write_text(PRODUCER)
    make(TABLE)
    queue.pause()
    run_node(script, str(redis_server.port), prefix)
    queue.resume()
    # A key of whose short jobs none was seen while it ran is not in it.
    assert set(most(28).values()) <= {1}
    assert r.zcard(f"{prefix}:a:failed") == 0
    assert not r.keys(f"{prefix}:a:jobd-aside:*")


def test_promoting_a_job_that_waits_for_its_key_neither_runs_it_too_early_nor_loses_it(make, jobs, queue, tmp_path):
    until = tmp_path / "until"
    make(TABLE)
    a = jobs("a")
    held = queue.add("x", {"t": "x", "until": str(until)})
    a.wait_state(held.id, "active")
    second, third = (queue.add("x", {"t": "x", "s": 0}).id for _ in range(2))
    for job in (second, third):
        a.wait_state(job, "delayed")
    queue.promote(third)
    a.wait_state(third, "delayed")
    queue.remove(second)
    until.touch()
    a.wait_state(third, "completed")
    assert int(a.hash(third)["processedOn"]) >= int(a.hash(held.id)["finishedOn"])
    assert json.loads(a.hash(third)["returnvalue"]) == "slow"
    assert time.time() * 1000 - int(a.hash(held.id)["finishedOn"]) < 30_000  # brought forward, not by its minute
