"""Limits with a daemon and a Node worker on one queue: the global one before the workers' own, one by hand before both.

Judged by the moments that the server gave to its events: no slow machine makes it fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.interop.test_scenarios import STEPS
from tests.interop.with_workers import Step
from tests.interop.worker_sides import NodeSide
from tests.support.daemon_process import DaemonProcess
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.node, pytest.mark.compat("workers of both on one queue", "limits and their precedence")]

OWN_MAX, OWN_MS = 3, 600
QUEUES = f"""
[queues.work]
handler = "mixed_handlers:handle"
concurrency = 4
rate_limit = {{ max = {OWN_MAX}, duration = "{OWN_MS}ms" }}
"""
NODE = {"concurrency": 4, "limiter": {"max": OWN_MAX, "duration": OWN_MS}}


class Both:
    """A queue with workers of both, and BullMQ's client."""

    def __init__(self, node: NodeSide, r: redis.Redis) -> None:
        self._node = node
        self._r = r
        self._base = f"{node.prefix}:work:"
        self._done = 0

    def ask(self, *steps: Step) -> None:
        """Let BullMQ do these steps."""
        self._node.ask(list(steps))

    def starts(self, count: int) -> list[int]:
        """Add jobs; return when each was taken, by the server's clock."""
        self.ask(["bulk", "work", [{"name": "job", "data": {}} for _ in range(count)]])
        self._done += count
        wait_until(lambda: self._r.zcard(f"{self._base}completed") == self._done, 60, what="all have run")
        events = self._r.xrange(f"{self._base}events")
        taken = [int(key.partition("-")[0]) for key, fields in events if fields["event"] == "active"]
        assert len(taken) == self._done
        return taken[-count:]


@contextmanager
def both(folder: Path, redis_server: RedisServer, r: redis.Redis, prefix: str) -> Iterator[Both]:
    with (
        start_node(STEPS, redis_server.tcp_url) as process,
        DaemonProcess(folder / "d", redis_server.url, QUEUES, prefix=prefix) as daemon,
    ):
        daemon.start_ready()
        node = NodeSide(process, r, prefix)
        node.ask([["work", "work", NODE]])
        yield Both(node, r)
        node.close()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def at_most(count: int, within_ms: int, starts: list[int]) -> bool:
    """Whether no window has more: one begins with the first start after the one before it.

    The server's clock and a key's life may differ by two milliseconds.
    """
    begun, inside = 0, 0
    for start in starts:
        if start >= begun + within_ms - 2:
            begun, inside = start, 0
        inside += 1
        if inside > count:
            return False
    return True


def test_limits_hold_over_both_and_in_their_order(
    short_tmp: Path, redis_server: RedisServer, r: redis.Redis, prefix: str
) -> None:
    with both(short_tmp, redis_server, r, prefix) as queue:
        starts = queue.starts(9)
        assert at_most(OWN_MAX, OWN_MS, starts), starts
        assert not at_most(1, 200, starts), "more than one at once: only the workers' own limit"
        queue.ask(["global limit", "work", 1, 300], ["limit away", "work"])
        starts = queue.starts(6)
        assert at_most(1, 300, starts), starts
        seconds, microseconds = r.time()
        queue.ask(["limit", "work", 1500])
        starts = queue.starts(3)
        assert starts[0] >= seconds * 1000 + microseconds // 1000 + 1500 - 2
        assert at_most(1, 300, starts), starts
        queue.ask(["limit", "work", 600_000], ["limit away", "work"], ["no limit", "work"])
        starts = queue.starts(6)
        assert at_most(OWN_MAX, OWN_MS, starts), starts
