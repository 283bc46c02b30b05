"""lua/turn.lua: which finished jobs stay in Redis, and how a backlog of them shrinks."""

from __future__ import annotations

import json

import pytest

from jobd.engine.job import KEEP_NONE, Keep
from tests.support.queue_of import NOW, QueueOf, done, ended, failed


@pytest.mark.parametrize("short_way", [True, False])
def test_a_job_that_is_not_kept_goes_with_its_sub_keys_and_is_still_told(q: QueueOf, short_way: bool) -> None:
    q.put("1")
    (job,) = q.take()
    for name in ("logs", "processed"):
        q.r.hset(f"{q.keys.job('1')}:{name}", "x", "1")
    q.turn(done(job, b"7", keep=KEEP_NONE) if short_way else ended(job, value=b"7", keep=KEEP_NONE))
    assert sorted(q.tables()) == sorted([q.keys.events, q.keys.meta, q.keys.marker])
    assert "completed 1 returnvalue=7 prev=active" in q.events()


@pytest.mark.parametrize("short_way", [True, False])
def test_only_the_newest_jobs_stay(q: QueueOf, short_way: bool) -> None:
    for number in range(5):
        q.put(f"j{number}")
    for number, job in enumerate(q.take(5)):
        finish = done(job, keep=Keep(2)) if short_way else ended(job, keep=Keep(2))
        q.turn(finish, now=NOW + number)
    assert q.r.zrange(q.keys.completed, 0, -1) == ["j3", "j4"]
    assert not q.r.exists(q.keys.job("j2"))


def test_jobs_older_than_the_age_go_newest_first_within_the_limit(q: QueueOf) -> None:
    for number in range(5):
        q.put(f"j{number}")
    jobs = q.take(5)
    for number, job in enumerate(jobs[:4]):
        q.turn(done(job), now=NOW + number)
    q.turn(done(jobs[4], keep=Keep(age_s=1, limit=2)), now=NOW + 1_002)
    assert q.r.zrange(q.keys.completed, 0, -1) == ["j0", "j3", "j4"]


@pytest.mark.parametrize("rule", [Keep(1), Keep(age_s=1)])
def test_a_trimmed_child_that_failed_releases_its_parent(q: QueueOf, rule: Keep) -> None:
    parent, child = q.keys.job("p"), q.keys.job("1")
    q.r.hset(parent, mapping={"name": "p", "timestamp": NOW})
    q.r.zadd(q.keys.waiting_children, {"p": NOW})
    q.r.sadd(f"{parent}:dependencies", child)
    belongs = json.dumps({"id": "p", "queueKey": q.keys.base[:-1]})
    q.put("1", parentKey=parent, parent=belongs)
    q.put("2")
    first, second = q.take(2)
    q.turn(failed(first))
    assert q.wait() == []
    q.turn(failed(second, keep=rule), now=NOW + 1_000)
    assert q.wait() == ["p"]
    assert "waiting p prev=waiting-children" in q.events()


def test_a_large_backlog_shrinks_by_a_thousand_a_turn(q: QueueOf) -> None:
    pipe = q.r.pipeline()
    for number in range(1_500):
        pipe.hset(q.keys.job(f"old{number}"), "name", "n")
        pipe.zadd(q.keys.completed, {f"old{number}": number})
    pipe.execute()
    q.put("1")
    q.turn(done(q.take()[0], keep=Keep(10)))
    assert q.r.zcard(q.keys.completed) == 501
