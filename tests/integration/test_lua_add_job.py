"""add_job.lua: what lies in Redis after an add is what BullMQ's own add leaves (docs/wire-format.md, "Adding")."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from jobd.engine.adding import BATCH, add_job, add_jobs
from jobd.engine.keys import Keys
from jobd.engine.new_job import Added
from jobd.engine.options import new_job
from jobd.engine.runner import SyncRunner
from tests.support.redis_server import RedisServer
from tests.support.snapshot import snapshot

NOW = 1_795_486_443_666


class Adding:
    def __init__(self, runner: SyncRunner, r: redis.Redis, prefix: str) -> None:
        self.runner = runner
        self.r = r
        self.keys = Keys(prefix, "q")

    def add(self, name: str = "n", data: Any = None, **options: Any) -> Added:
        job = new_job(name, {} if data is None else data, options, now_ms=NOW)
        return self.runner.run(add_job(self.keys, job))

    def all(self) -> dict[str, Any]:
        return snapshot(self.r, self.keys.base)

    def events(self) -> list[str]:
        return [" ".join(fields.values()) for _, fields in self.r.xrange(self.keys.events)]


@pytest.fixture
def q(redis_server: RedisServer, r: redis.Redis, prefix: str) -> Any:
    with redis_server.raw() as client:
        yield Adding(SyncRunner(client), r, prefix)


def stored(opts: str = '{"attempts":0}', **fields: str) -> dict[str, str]:
    base = {"name": "n", "data": "{}", "opts": opts, "timestamp": str(NOW), "delay": "0", "priority": "0"}
    return base | fields


def test_plain_job(q: Adding) -> None:
    added = q.add("greet", {"hello": "wörld", "n": 1})
    assert added.job_id == "1"
    assert not added.duplicate
    assert q.all() == {
        "meta": {"opts.maxLenEvents": "10000"},
        "id": "1",
        "wait": ["1"],
        "marker": {"0": 0},
        "1": stored(name="greet", data='{"hello":"wörld","n":1}'),
        "events": [
            {"event": "added", "jobId": "1", "name": "greet"},
            {"event": "waiting", "jobId": "1"},
        ],
    }
    assert q.r.xrevrange(q.keys.events, count=1)[0][0] == added.event_id


def test_first_in_is_first_out_and_lifo_goes_before_all(q: Adding) -> None:
    for lifo in (False, False, True):
        q.add(lifo=lifo)
    assert q.all()["wait"] == ["2", "1", "3"]


def test_delayed_jobs_of_one_millisecond_keep_their_order(q: Adding) -> None:
    for priority in (0, 3, 0):
        q.add(delay="60s", priority=priority)
    due = NOW + 60_000
    found = q.all()
    assert found["delayed"] == {"1": due * 4096, "2": due * 4096 + 1, "3": due * 4096 + 2}
    assert found["marker"] == {"1": due}
    assert found["2"] == stored('{"priority":3,"delay":60000,"attempts":0}', delay="60000", priority="3")
    assert "wait" not in found
    assert found["events"][1] == {"event": "delayed", "jobId": "1", "delay": str(due)}


def test_prioritized_jobs_are_scored_by_priority_then_order(q: Adding) -> None:
    for priority in (5, 5, 1):
        q.add(priority=priority)
    found = q.all()
    assert found["prioritized"] == {"3": 4294967299, "1": 21474836481, "2": 21474836482}
    assert (found["pc"], found["marker"]) == ("3", {"0": 0})


def test_a_paused_queue_takes_jobs_in_without_waking_anyone(q: Adding) -> None:
    q.r.hset(q.keys.meta, "paused", 1)
    q.add()
    q.add(priority=1)
    q.add(delay=1)
    found = q.all()
    assert found["wait"] == ["1"]
    assert found["prioritized"] == {"2": 4294967297}
    assert found["marker"] == {"1": NOW + 1000}
    assert q.events() == ["added 1 n", "waiting 1", "added 2 n", "waiting 2", "added 3 n", f"delayed 3 {NOW + 1000}"]


def test_a_queue_at_its_global_concurrency_wakes_nobody(q: Adding) -> None:
    q.r.hset(q.keys.meta, "concurrency", 1)
    q.r.lpush(q.keys.active, "other")
    q.add()
    assert "marker" not in q.all()


def test_an_id_that_exists_changes_nothing_but_the_counter_and_says_so(q: Adding) -> None:
    first = q.add(data={"v": 1}, job_id="welcome-7")
    before = q.all()
    again = q.add(data={"v": 2}, job_id="welcome-7", delay=5)
    after = q.all()
    assert (first.duplicate, again.duplicate, again.job_id) == (False, True, "welcome-7")
    assert after.pop("events") == [*before.pop("events"), {"event": "duplicated", "jobId": "welcome-7"}]
    assert after.pop("id") == "2"
    assert before.pop("id") == "1"
    assert after == before


def test_the_limit_of_events_that_a_producer_set_is_kept(q: Adding) -> None:
    q.r.hset(q.keys.meta, "opts.maxLenEvents", 7)
    q.add()
    assert q.r.hget(q.keys.meta, "opts.maxLenEvents") == "7"


class TestDeduplication:
    def test_the_second_add_is_given_the_first_job(self, q: Adding) -> None:
        assert not q.add(deduplicate="d").deduplicated
        second = q.add(deduplicate="d")
        assert (second.job_id, second.deduplicated, second.duplicate) == ("1", True, False)
        found = q.all()
        assert found["de:d"] == "1"
        assert found["1"]["deid"] == "d"
        assert found["id"] == "2"
        assert "2" not in found
        assert q.events()[-1] == "deduplicated 1 d 2"

    def test_throttle_keeps_its_first_lifetime(self, q: Adding) -> None:
        q.add(deduplicate={"id": "d", "ttl": "60s"})
        q.r.pexpire(f"{q.keys.base}de:d", 5_000)
        q.add(deduplicate={"id": "d", "ttl": "60s"})
        assert 0 < q.r.pttl(f"{q.keys.base}de:d") <= 5_000

    def test_extend_gives_a_fresh_lifetime(self, q: Adding) -> None:
        q.add(deduplicate={"id": "d", "ttl": "60s", "extend": True})
        q.r.pexpire(f"{q.keys.base}de:d", 5_000)
        assert q.add(deduplicate={"id": "d", "ttl": "60s", "extend": True}).deduplicated
        assert q.r.pttl(f"{q.keys.base}de:d") > 50_000

    def test_replace_puts_the_new_job_in_place_of_the_delayed_one(self, q: Adding) -> None:
        q.add(delay=60, deduplicate={"id": "d", "replace": True})
        added = q.add(delay=60, deduplicate={"id": "d", "replace": True})
        found = q.all()
        assert (added.job_id, added.deduplicated) == ("2", False)
        assert found["de:d"] == "2"
        assert list(found["delayed"]) == ["2"]
        assert "1" not in found
        assert q.events()[2:] == [
            "removed 1 delayed", "deduplicated 2 d 1", "added 2 n", f"delayed 2 {NOW + 60_000}",
        ]  # fmt: skip

    def test_replace_without_extend_keeps_the_rest_of_the_lifetime(self, q: Adding) -> None:
        option = {"id": "d", "replace": True, "ttl": "60s"}
        q.add(delay=60, deduplicate=option)
        q.r.pexpire(f"{q.keys.base}de:d", 5_000)
        q.add(delay=60, deduplicate=option)
        assert 0 < q.r.pttl(f"{q.keys.base}de:d") <= 5_000
        q.add(delay=60, deduplicate=option | {"extend": True})
        assert q.r.pttl(f"{q.keys.base}de:d") > 50_000

    def test_replace_leaves_a_job_alone_that_already_waits(self, q: Adding) -> None:
        q.add(deduplicate={"id": "d", "replace": True})
        before = q.events()
        added = q.add(deduplicate={"id": "d", "replace": True})
        assert (added.job_id, added.deduplicated) == ("1", True)
        assert q.events() == before

    def test_an_owner_that_is_gone_does_not_swallow_adds(self, q: Adding) -> None:
        q.r.set(f"{q.keys.base}de:d", "ghost")
        assert q.add(deduplicate="d").job_id == "1"
        assert q.all()["de:d"] == "1"

    def test_keep_last_if_active_parks_the_newest(self, q: Adding) -> None:
        option = {"id": "d", "keep_last_if_active": True, "ttl": "60s"}
        q.add(deduplicate=option)
        q.r.lmove(q.keys.wait, q.keys.active, "RIGHT", "LEFT")
        for value in (2, 3):
            assert q.add(data={"v": value}, deduplicate=option).job_id == "1"
        found = q.all()
        assert q.r.pttl(f"{q.keys.base}de:d") == -1
        assert (found["dn:d"]["jid"], found["dn:d"]["data"], found["dn:d"]["name"]) == ("3", '{"v":3}', "n")
        assert q.events()[-1] == "deduplicated 1 d 3"

    def test_parking_lifts_the_lifetime_another_option_had_set(self, q: Adding) -> None:
        q.add(deduplicate={"id": "d", "ttl": "60s"})
        q.r.lmove(q.keys.wait, q.keys.active, "RIGHT", "LEFT")
        q.add(deduplicate={"id": "d", "keep_last_if_active": True})
        assert q.r.pttl(f"{q.keys.base}de:d") == -1

    def test_reschedule_moves_the_delayed_owner(self, q: Adding) -> None:
        q.add(delay=60, deduplicate={"id": "d", "reschedule": True})
        assert q.add(delay=5, deduplicate={"id": "d", "reschedule": True}).job_id == "1"
        found = q.all()
        assert found["delayed"] == {"1": (NOW + 5_000) * 4096}
        assert found["1"]["delay"] == "5000"
        assert found["marker"] == {"1": NOW + 5_000}
        assert q.events()[-2:] == ["deduplicated 1 d 2", f"delayed 1 {NOW + 5_000}"]


def test_a_batch_leaves_what_single_adds_leave(q: Adding, prefix: str) -> None:
    kinds: list[dict[str, Any]] = [
        {}, {}, {"priority": 2}, {"lifo": True}, {}, {"delay": 5}, {"job_id": "x"}, {"job_id": "x"},
        {"deduplicate": "d"}, {"deduplicate": "d"}, {"attempts": 3}, {"timestamp": NOW - 5}, {},
    ]  # fmt: skip
    jobs = [new_job("n", {"i": i}, options, now_ms=NOW) for i, options in enumerate(kinds)]
    singles = [q.runner.run(add_job(q.keys, job)) for job in jobs]
    other = Keys(prefix, "batch")
    batch = q.runner.run(add_jobs(other, jobs))
    assert snapshot(q.r, other.base) == q.all()
    assert [(a.job_id, a.duplicate, a.deduplicated) for a in batch] == [
        (a.job_id, a.duplicate, a.deduplicated) for a in singles
    ]


def test_a_full_batch_keeps_the_order(q: Adding) -> None:
    q.runner.run(add_jobs(q.keys, [new_job("n", {}, now_ms=NOW) for _ in range(BATCH)]))
    assert q.all()["wait"] == [str(n) for n in range(BATCH, 0, -1)]


def test_names_and_ids_of_any_text_arrive_unchanged(q: Adding) -> None:
    q.add('sch"mutz\n\\/', data={"x": "\u0000é"}, job_id='i"\\d/é\t😀')
    found = q.all()
    assert found['i"\\d/é\t😀']["name"] == 'sch"mutz\n\\/'
    assert found["wait"] == ['i"\\d/é\t😀']
