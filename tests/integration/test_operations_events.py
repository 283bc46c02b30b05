"""What the operation `events` tells: entries of several queues' streams, in order."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from jobd.engine.keys import Keys
from jobd.errors import NotThere
from tests.support.operations import Ops


def _put_events(r: redis.Redis, prefix: str, queue: str, *entries: tuple[str, str, str]) -> None:
    for entry_id, event, job in entries:
        r.xadd(Keys(prefix, queue).events, {"event": event, "jobId": job}, id=entry_id)


def test_events_of_queues_are_merged_in_order_of_time(ops: Ops, r: redis.Redis, prefix: str) -> None:
    ops.add("a", name="n")
    ops.add("b", name="n")
    r.delete(Keys(prefix, "a").events, Keys(prefix, "b").events)
    _put_events(r, prefix, "a", *((f"{1000 * n}-{n % 2}", "added", f"a{n}") for n in range(1, 60)))
    _put_events(r, prefix, "b", *((f"{1000 * n + 500}-0", "failed", f"b{n}") for n in range(1, 120)))
    asked: dict[str, Any] = {"oldest": True, "limit": 7}
    told, more = [], True
    while more:
        found = ops("events", **asked)
        told += found["events"]
        asked, more = {"after": found["after"], "limit": 7}, found["more"]
    assert len(told) == 59 + 119
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)
    assert told[0] == {"time": "1970-01-01T00:00:01.000Z", "queue": "a", "event": "added", "jobId": "a1"}


def test_the_last_events_have_no_holes(ops: Ops, r: redis.Redis, prefix: str) -> None:
    ops.add("a", name="n")
    ops.add("b", name="n")
    r.delete(Keys(prefix, "a").events, Keys(prefix, "b").events)
    _put_events(r, prefix, "a", *((f"{n}-0", "added", f"{n}") for n in range(1, 300)))
    _put_events(r, prefix, "b", ("5-0", "added", "old"), ("250-0", "failed", "new"))
    told = [event["jobId"] for event in ops("events", limit=10)["events"]]
    assert told == [str(n) for n in range(290, 300)]
    assert [event["jobId"] for event in ops("events", name="fail*")["events"]] == ["new"]
    assert [event["event"] for event in ops("events", queues=["a"], job="299", oldest=True)["events"]] == ["added"]


def test_events_of_an_unknown_queue(ops: Ops) -> None:
    with pytest.raises(NotThere):
        ops("events", queues=["nosuch"])
    assert ops("events") == {"events": [], "after": {}, "more": False}
