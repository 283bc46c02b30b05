"""A scheduler that Node made ends, begins and keeps its rhythm alike with jobd's workers, with Node's and with both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.interop.test_scenarios import STEPS
from tests.interop.worker_sides import NodeSide
from tests.support.daemon_process import DaemonProcess
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.node, pytest.mark.timeout(120),
    pytest.mark.compat("job schedulers: limit, start, end, offset, immediately", "run by jobd, by BullMQ, by both"),
]  # fmt: skip

SECONDLY = {"pattern": "* * * * * *", "tz": "Europe/Athens"}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "limit": {"every": 300, "limit": 3},
    "limit-of-cron": {**SECONDLY, "limit": 2},
    "end": {"every": 300, "endIn": 1400},
    "end-of-cron": {**SECONDLY, "endIn": 2500},
    "start": {"every": 300, "startIn": 1500, "limit": 2},
    "start-and-end": {"every": 300, "startIn": 1000, "endIn": 2000},
    "offset": {"every": 1000, "offset": 300, "limit": 2},
    "immediately": {**SECONDLY, "immediately": True, "limit": 2},
    "every-immediately": {"every": 900, "immediately": True, "limit": 2},
}
QUEUES = "".join(f'[queues.{name}]\nhandler = "daemon_handlers:ok"\nkeep_completed = true\n' for name in SCHEDULERS)
SIDES = ("jobd", "node", "both")


class Ran:
    """What each scheduler's queue had come to when all were over; `added_at` is when Node began and had made them."""

    def __init__(self) -> None:
        self.added_at: dict[str, tuple[int, int]] = {}
        self.slots: dict[tuple[str, str], list[int]] = {}


@pytest.fixture(scope="module")
def ran(redis_server: RedisServer) -> Iterator[Ran]:
    """All of them at once: they take three seconds, however many they are."""
    found, r = Ran(), redis_server.client()
    with ExitStack() as stack:
        node = stack.enter_context(start_node(STEPS, redis_server.tcp_url))
        assert node.stdin is not None
        stack.callback(node.stdin.close)
        for name in ("jobd", "both"):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobd-")))
            stack.enter_context(DaemonProcess(folder, redis_server.url, QUEUES, prefix=f"by-{name}")).start_ready()
        sides = {name: NodeSide(node, r, f"by-{name}") for name in SIDES}
        for name, side in sides.items():
            if name != "jobd":
                side.ask([["work", queue, {}] for queue in SCHEDULERS])
            before = server_ms(r)
            side.ask([["schedule", queue, "s", repeat, {"name": "ok"}] for queue, repeat in SCHEDULERS.items()])
            found.added_at[name] = (before, server_ms(r))
        for name in SIDES:
            for queue in SCHEDULERS:
                base = f"by-{name}:{queue}:"
                wait_until(lambda base=base: is_over(r, base), 60, what=f"{queue} is over, run by {name}")
                ids = r.zrange(f"{base}completed", 0, -1)
                found.slots[name, queue] = sorted(int(job.rpartition(":")[2]) for job in ids)
        for side in sides.values():
            side.close()
    yield found
    r.close()


def server_ms(r: redis.Redis) -> int:
    seconds, microseconds = r.time()
    return seconds * 1000 + microseconds // 1000


def is_over(r: redis.Redis, base: str) -> bool:
    with r.pipeline() as pipe:
        pipe.zcard(f"{base}delayed").llen(f"{base}wait").llen(f"{base}active").zcard(f"{base}completed")
        *open_ones, done = pipe.execute()
    return done > 0 and not any(open_ones)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("queue", SCHEDULERS)
def test_it_begins_ends_and_keeps_its_rhythm(ran: Ran, queue: str, side: str) -> None:
    repeat, slots, (before, after) = SCHEDULERS[queue], ran.slots[side, queue], ran.added_at[side]
    every = repeat.get("every", 1000)
    assert len(slots) == len(set(slots))
    if "limit" in repeat:
        assert len(slots) == repeat["limit"]
    else:
        # BullMQ asks whether it is over when it makes the next run, which may then come after the end.
        assert slots[-1] < after + repeat["endIn"] + every
    assert slots[0] >= before + repeat.get("startIn", 0) - (0 if "offset" not in repeat else repeat["every"])
    # One that begins at once has its first slot where it began.
    rhythm = slots[1:] if queue == "immediately" else slots
    assert len({slot % every for slot in rhythm}) == 1
    if "pattern" in repeat:
        assert rhythm[0] % 1000 == 0
    if "offset" in repeat:
        assert rhythm[0] % every == repeat["offset"]
