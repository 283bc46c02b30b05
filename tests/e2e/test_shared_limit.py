"""One limit over two daemons, judged by the moments that the server gave its events: no slow machine makes it fail."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import redis

from jobd.client import Queue
from tests.support.daemon_process import DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

JOBS, WINDOW_MS = 20, 1000
WORK = """
[queues.work]
handler = "daemon_handlers:ok"
concurrency = 4
rate_limit = { max = 1, duration = "1s" }
"""


@pytest.mark.timeout(120)
def test_twenty_jobs_at_one_a_second_over_two_daemons_take_twenty_seconds(
    tmp_path: Path, redis_server: RedisServer, r: redis.Redis, prefix: str
) -> None:
    with (
        DaemonProcess(tmp_path / "a", redis_server.url, WORK, prefix=prefix) as one,
        DaemonProcess(tmp_path / "b", redis_server.url, WORK, prefix=prefix) as two,
        Queue("work", url=redis_server.url, prefix=prefix) as queue,
    ):
        one.start_ready()
        two.start_ready()
        added = queue.add_many([("job", {}) for _ in range(JOBS)])
        wait_until(lambda: queue.counts()["completed"] == JOBS, 60, what="all have run")
        events = r.xrange(f"{prefix}:work:events")
        moments = sorted(int(r.hget(f"{prefix}:work:{job.id}", "processedOn") or 0) for job in added)
    starts = [int(key.split("-")[0]) for key, fields in events if fields["event"] == "active"]
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert len(starts) == JOBS
    assert min(gaps) >= WINDOW_MS - 2, gaps
    # 20 s, with the window that the last one opens: on a quiet machine each window is late by a few milliseconds.
    assert 18_900 <= moments[-1] - moments[0] < 40_000
    assert 18_900 <= starts[-1] - starts[0] < 40_000
