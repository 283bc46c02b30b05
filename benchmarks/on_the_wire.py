"""A producer whose command is packed beforehand: from its byte on the wire on, only Redis and the worker take time.

What Node's `add` takes before that, a third of a millisecond after 50 ms of idleness, is the same for both sides, and
hides how they differ.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from benchmarks.sides import Bench, since
from jobd.engine.adding import add_job
from jobd.engine.keys import Keys
from jobd.engine.options import new_job
from jobd.engine.runner import SyncRunner
from tests.support.waiting import wait_until


def starts_after_the_wire(bench: Bench, queue: str, count: int, every_ms: int, *, warm: int = 20) -> list[float]:
    """Send a job every so many milliseconds; return how long after its byte each one's handler began, in ms."""
    sent_ns: dict[str, int] = {}
    with _connection(bench) as (connection, runner):
        job = new_job("stamp", {"sent_ns": 0}, now_ms=time.time_ns() // 1_000_000)
        command = add_job(Keys("bull", queue), job)
        runner.run(command)  # the script is known from here on
        packed = connection.pack_command(*command.parts())
        start = time.monotonic()
        for number in range(warm + count):
            time.sleep(max(0.0, number * every_ms / 1000 - since(start)))
            now_ns = time.monotonic_ns()
            connection.send_packed_command(packed)
            job_id = connection.read_response(disable_decoding=True)[0].decode()
            if number >= warm:
                sent_ns[job_id] = now_ns
        wait_until(lambda: bench.completed(queue) > warm + count, 30, what="all are completed")
    # The handler subtracts what it finds in `sent_ns`: nothing, so it returns the moment itself.
    began = {job_id: bench.redis.hget(f"bull:{queue}:{job_id}", "returnvalue") for job_id in sent_ns}
    return [(float(began[job_id] or 0) - sent) / 1e6 for job_id, sent in sent_ns.items()]


@contextmanager
def _connection(bench: Bench) -> Iterator[tuple[Any, SyncRunner]]:
    with redis.Redis.from_url(bench.server.tcp_url) as client:
        runner = SyncRunner(client)
        connection = runner.connection()
        try:
            yield connection, runner
        finally:
            client.connection_pool.release(connection)
