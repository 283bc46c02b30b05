"""A worker whose server is demoted, or closes what is idle, goes on and tells nobody: neither is an outage."""

from __future__ import annotations

import select
from pathlib import Path

import pytest
import redis

from jobd.client import Queue
from jobd.protocol import framing
from jobd.protocol import worker as messages
from tests.support.failover import Pair
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, WorkerProcess, numbers


def told(worker: WorkerProcess) -> list[messages.Message]:
    """Return what the worker has said so far and nobody has read."""
    found = []
    while select.select([worker.sock], [], [], 0)[0] and (packet := framing.receive(worker.sock)) is not None:
        found.append(messages.decode(packet[0]))
    return found


def completed(client: redis.Redis) -> int:
    return int(client.zcard("bull:mail:completed"))


@pytest.mark.parametrize("busy", [False, True])
def test_after_a_failover_a_worker_runs_what_the_new_primary_has(pair: Pair, tmp_path: Path, busy: bool) -> None:
    marks = tmp_path / "marks"
    with (
        WorkerParent(pair.url, "bull") as parent,
        Queue("mail", url=pair.second.url, prefix="bull") as queue,
        pair.second.client() as new,
    ):
        worker = parent.start("mail", numbers("rough:mark_slowly"))
        if busy:  # its result is refused by the old one, and goes to the new one
            with Queue("mail", url=pair.first.url, prefix="bull") as old:
                old.add("a", {"file": str(marks), "seconds": 1.0})
            wait_until(marks.exists)
        else:
            wait_until(lambda: worker.board.fetched_at > 0)
        pair.fail_over()
        queue.add("b", {"file": str(marks), "seconds": 0})
        wait_until(lambda: completed(new) == 1 + busy, 20)
        assert len(marks.read_text().split()) == 1 + busy, "each ran once"
        assert told(worker) == []
        assert "Redis is away" not in worker.printed()


def test_an_idle_connection_that_the_server_closes_is_no_outage(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    # As the server's own `timeout` does, without the waiting. What blocks is not idle: that one it leaves open.
    worker = parent.start("mail", numbers("basic:echo"))

    def turns() -> str | None:
        found = {one["name"].partition(":")[0]: one for one in client.client_list()}
        waits = found.get("bull", {}).get("cmd") == "bzpopmin"  # so every turn has been read
        return found["jobd-turn"]["id"] if waits and "jobd-turn" in found else None

    before = wait_until(turns, what="the worker waits")
    client.client_kill_filter(_id=before)
    wait_until(lambda: turns() not in (None, before), what="it is connected anew")
    queue.add("a", {}).wait(timeout=20)
    assert told(worker) == []
    assert "Redis is away" not in worker.printed()
