"""A parent under one prefix and its children under another, each side run by a daemon or by a Node worker.

An application per prefix on one Redis: what one hands to the other comes back to it, whoever works there.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from jobd.client import Flow, Queue
from tests.interop.test_mixed_peers import HERE, Peer
from tests.support.daemon_process import DaemonProcess
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.node, pytest.mark.compat("flows over prefixes", "jobd and BullMQ as worker of either side")]

QUEUES = {"jobd": "ours", "node": "theirs"}
DAEMON = '[queues.ours]\nhandler = "mixed_handlers:handle"\n'


class Two(NamedTuple):
    """Two prefixes, each with a daemon for `ours` and a Node program for `theirs`."""

    prefixes: tuple[str, str]
    peers: dict[str, Peer]


@pytest.fixture(scope="module")
def two(redis_server: RedisServer) -> Iterator[Two]:
    prefixes = (f"f{os.getpid()}a", f"f{os.getpid()}b")
    with ExitStack() as stack:
        peers = {}
        for prefix in prefixes:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobd-")))
            stack.enter_context(DaemonProcess(folder / "d", redis_server.url, DAEMON, prefix=prefix)).start_ready()
            process = stack.enter_context(start_node(HERE / "mixed_peer.cjs", str(redis_server.port), prefix))
            peers[prefix] = Peer(process, prefix=prefix, knows_logs=True)
            stack.callback(process.stdin.close)  # type: ignore[union-attr]
        yield Two(prefixes, peers)


def add(two: Two, url: str, adder: str, above: str, below: str, names: list[str]) -> str:
    """Add a parent in the first prefix with children of these names in the second; return its id."""
    first, second = two.prefixes
    if adder == "jobd":
        children = [Flow(name, {}, queue=below, prefix=second, if_failed="fail") for name in names]
        with Queue(above, url=url, prefix=first) as queue:
            return queue.add_flow(Flow("sum", {}, children=children)).job.id
    child: dict[str, Any] = {"queueName": below, "prefix": second, "data": {}, "opts": {"failParentOnFailure": True}}
    tree = {"name": "sum", "queueName": above, "data": {}, "children": [{**child, "name": name} for name in names]}
    return str(two.peers[first].ask("flow", tree=tree))


@pytest.mark.parametrize("names", [["part", "part"], ["fail"]], ids=["well", "failing"])
@pytest.mark.parametrize("adder", QUEUES)
@pytest.mark.parametrize(("parent", "child"), list(itertools.product(QUEUES, QUEUES)))
def test_a_child_under_another_prefix_comes_back_to_its_parent(
    two: Two, redis_server: RedisServer, r: redis.Redis, parent: str, child: str, adder: str, names: list[str]
) -> None:
    (first, second), above, below = two.prefixes, QUEUES[parent], QUEUES[child]
    root = add(two, redis_server.url, adder, above, below, names)
    if child == "node":
        assert two.peers[second].ask("work", queues=[below], ends=len(names))
    if parent == "node":
        assert two.peers[first].ask("work", queues=[above], ends=1)
    key = f"{first}:{above}:{root}"
    wait_until(lambda: r.hget(key, "finishedOn"), 20, what="the parent has ended")
    if names == ["fail"]:
        (failed,) = r.zrange(f"{second}:{below}:failed", -1, -1)
        assert r.hget(key, "failedReason") == f"child {second}:{below}:{failed} failed"
    else:
        assert r.hget(key, "returnvalue") == "4"
    assert r.exists(f"{key}:dependencies") == 0
