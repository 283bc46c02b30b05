"""BullMQ's metrics as jobd writes them, read by BullMQ's `getMetrics`: alone, beside a Node worker, through deaths."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from jobd.client import Queue
from jobd.engine.keys import Keys
from jobd.engine.metrics import Finals, count_finals
from jobd.engine.runner import SyncRunner
from tests.support.daemon_process import DaemonProcess
from tests.support.node import Conversation, start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.node, pytest.mark.compat("metrics", "getMetrics counts what jobd ends")]

HERE = Path(__file__).parent
MOST = 5
MINUTE = 60_000


class Peer(Conversation):
    """A Node program that ends jobs and reads metrics."""

    def count(self, queue: str, state: str) -> int:
        """Return how many jobs BullMQ has counted, and check that the minutes add up."""
        found = self.ask("metrics", queue, state=state)
        assert sum(found["data"]) == found["meta"]["prevCount"]
        return int(found["meta"]["count"])


@pytest.fixture
def peer(redis_server: RedisServer, prefix: str) -> Iterator[Peer]:
    process = start_node(HERE / "metrics_peer.cjs", str(redis_server.port), prefix, str(MOST))
    try:
        yield Peer(process)
    finally:
        process.communicate(timeout=10)


@pytest.mark.parametrize("seed", range(4))
def test_minutes_are_closed_as_a_node_worker_closes_them(
    redis_server: RedisServer, prefix: str, peer: Peer, seed: int
) -> None:
    """The same ends at the same moments: one queue by Node's worker, one by us, one by both in turn."""
    chance = random.Random(seed)
    moment = 1_800_000_000_000 + chance.randrange(MINUTE)
    runner = SyncRunner(redis.Redis.from_url(redis_server.url))
    totals = {name: Finals() for name in ("ours", "both")}
    for turn in range(25):
        moment += chance.choice((10, 20_000, MINUTE, 3 * MINUTE, 20 * MINUTE))
        state = chance.choice(("completed", "failed"))
        peer.ask("end", "node", state=state, moment=moment)
        for name, before in totals.items():
            if name == "both" and turn % 2:
                peer.ask("end", "both", state=state, moment=moment)
                continue
            now = totals[name] = before._replace(**{state: getattr(before, state) + 1})
            for _ in range(2):  # sent twice, counted once
                runner.run(count_finals(Keys(prefix, name), "me", now, before, at_ms=moment, most=MOST))
    for state in ("completed", "failed"):
        expected = peer.ask("metrics", "node", state=state)
        assert expected["data"], "the minutes of this test close none"
        assert peer.ask("metrics", "ours", state=state) == expected
        assert peer.ask("metrics", "both", state=state) == expected


def test_a_queue_that_node_obliterates_leaves_no_key_and_is_counted_on(
    redis_server: RedisServer, prefix: str, peer: Peer
) -> None:
    client = redis.Redis.from_url(redis_server.url)
    runner, keys, moment = SyncRunner(client), Keys(prefix, "gone"), 1_800_000_000_000
    before, now = Finals(), Finals(3, 2)
    runner.run(count_finals(keys, "me", now, before, at_ms=moment, most=MOST))
    assert peer.ask("metrics", "gone", state="completed")["meta"]["count"] == 3
    peer.ask("obliterate", "gone")
    assert client.keys(keys.base + "*") == []
    runner.run(count_finals(keys, "me", Finals(4, 2), now, at_ms=moment, most=MOST))
    assert peer.ask("metrics", "gone", state="completed")["meta"]["count"] == 1
    assert peer.ask("metrics", "gone", state="failed")["meta"]["count"] == 0


def test_who_has_counted_nothing_for_an_hour_is_forgotten_by_those_who_start(
    redis_server: RedisServer, prefix: str
) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    runner, keys, moment = SyncRunner(client), Keys(prefix, "work"), 1_800_000_000_000
    for source, minutes in (("old", 0), ("busy", 0), ("busy", 59), ("new", 61)):
        total = Finals(1 + minutes)
        runner.run(count_finals(keys, source, total, Finals(), at_ms=moment + minutes * MINUTE, most=MOST))
    remembered = {field for field in client.hkeys(keys.metrics("completed")) if field.startswith("jobd:")}
    assert remembered == {"jobd:busy", "jobd:new"}
    assert client.hget(keys.metrics("completed"), "count") == str(1 + 60 + 62)


QUEUES = """
[queues.work]
handler = "metric_handlers:handle"
workers = 2
concurrency = 3
max_crashes = 0
keep_completed = false
[queues.work.jobs]
hang = { handler = "metric_handlers:handle", timeout = "200ms" }
[queues.silent]
handler = "metric_handlers:handle"
metrics = false
[defaults]
kill_after = "100ms"
"""


def test_every_way_to_end_counts_once_beside_a_node_worker_and_over_restarts(
    short_tmp: Path, redis_server: RedisServer, prefix: str, peer: Peer
) -> None:
    with (
        Queue("work", url=redis_server.url, prefix=prefix) as queue,
        Queue("silent", url=redis_server.url, prefix=prefix) as silent,
        DaemonProcess(short_tmp / "d", redis_server.url, QUEUES, prefix=prefix) as daemon,
    ):
        daemon.start_ready()
        silent.add("job").wait(20)
        ends = [queue.add(name) for name in ("fail", "kill", "hang", "unheard")]
        ends += queue.add_many([("job", {}) for _ in range(200)])
        slow = queue.add_many([("slow", {}) for _ in range(8)])
        for pid in daemon.worker_pids("work"):
            with suppress(ProcessLookupError):  # the job `kill` was quicker
                os.kill(pid, signal.SIGKILL)
        late = queue.add_many([("job", {}) for _ in range(200)])
        wait_until(lambda: _open(queue) == 0, 40, what="all of them end")
        failed = queue.counts()["failed"]  # those that were killed with their worker among them
        daemon.stop()
        total = len(ends) + len(slow) + len(late)
        assert peer.count("work", "completed") + peer.count("work", "failed") == total
        assert peer.count("work", "failed") == failed >= 3
        daemon.start_ready()
        peer.ask("start", "work")
        queue.add_many([("job", {}) for _ in range(300)])
        queue.add_many([("fail", {}) for _ in range(10)])
        expected = (total - failed + 300, failed + 10)
        wait_until(
            lambda: (peer.count("work", "completed"), peer.count("work", "failed")) == expected,
            30, what=f"all are counted: {expected}",
        )  # fmt: skip
        assert peer.ask("metrics", "silent", state="completed")["meta"]["count"] in (0, None)


def _open(queue: Queue) -> int:
    counts = queue.counts()
    return sum(counts[state] for state in ("waiting", "active", "delayed", "prioritized"))
