"""Pause, resume, retry, promote, remove: everything in Redis before, the call, everything after."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from jobd.engine.adding import add_job
from jobd.engine.admin import pause_queue, promote_job, remove_job, resume_queue, retry_job, set_global_concurrency
from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.engine.options import new_job
from jobd.engine.reading import get_job, get_state, queue_facts
from jobd.engine.runner import Command, SyncRunner
from jobd.engine.states import State
from tests.support.redis_server import RedisServer
from tests.support.snapshot import snapshot
from tests.support.tables import assert_one_state_each, changed, tables

NOW = 1_795_486_443_666


class Room:
    def __init__(self, runner: SyncRunner, r: redis.Redis, prefix: str) -> None:
        self.runner = runner
        self.r = r
        self.keys = Keys(prefix, "q")

    def run(self, command: Command[Any]) -> Any:
        return self.runner.run(command)

    def add(self, **options: Any) -> str:
        return self.run(add_job(self.keys, new_job("n", {}, options, now_ms=NOW))).job_id

    def finished(self, state: str, **options: Any) -> str:
        job_id = self.add(**options)
        self.r.lrem(self.keys.wait, 1, job_id)
        self.r.zrem(self.keys.prioritized, job_id)
        self.r.zadd(self.keys.base + state, {job_id: NOW})
        field = "failedReason" if state == "failed" else "returnvalue"
        self.r.hset(self.keys.job(job_id), mapping={
            "finishedOn": NOW, "processedOn": NOW, "atm": 1, "ats": 1, "stacktrace": '["x"]', field: "1", "sus": 1,
        })  # fmt: skip
        return job_id

    def all(self) -> dict[str, Any]:
        return snapshot(self.r, self.keys.base)

    def last_event(self) -> dict[str, str]:
        return self.r.xrevrange(self.keys.events, count=1)[0][1]


@pytest.fixture
def q(redis_server: RedisServer, r: redis.Redis, prefix: str) -> Any:
    with redis_server.raw() as client:
        yield Room(SyncRunner(client), r, prefix)


def test_pause_keeps_who_when_and_why_and_takes_the_marker(q: Room) -> None:
    q.add()
    assert q.run(pause_queue(q.keys, who="alice", why="cdn down", now_ms=NOW)) is True
    found = q.all()
    assert "marker" not in found
    assert found["wait"] == ["1"]
    assert found["meta"]["paused"] == "1"
    assert q.last_event() == {"event": "paused"}
    facts = q.run(queue_facts(q.keys))
    assert (facts.paused, facts.paused_by, facts.paused_at, facts.paused_why) == (True, "alice", NOW, "cdn down")
    assert q.run(pause_queue(q.keys, who="bob", why=None, now_ms=NOW)) is False


def test_resume_wakes_workers_and_forgets_the_reason(q: Room) -> None:
    q.add()
    q.run(pause_queue(q.keys, who="alice", why="x", now_ms=NOW))
    assert q.run(resume_queue(q.keys)) == (True, 0)
    found = q.all()
    assert found["marker"] == {"0": 0}
    assert found["meta"] == {"opts.maxLenEvents": "10000"}
    assert q.last_event() == {"event": "resumed"}
    assert q.run(resume_queue(q.keys)) == (False, 0)


def test_resume_with_only_delayed_jobs_tells_when_they_are_due(q: Room) -> None:
    q.add(delay=5)
    q.run(pause_queue(q.keys, who="a", why=None, now_ms=NOW))
    q.run(resume_queue(q.keys))
    assert q.all()["marker"] == {"1": NOW + 5_000}


@pytest.mark.parametrize("waiting", [[], ["new"]])
def test_resume_brings_back_what_bullmq_5_moved_to_paused(q: Room, waiting: list[str]) -> None:
    q.r.rpush(q.keys.legacy_paused, "3", "2", "1")
    if waiting:
        q.r.rpush(q.keys.wait, *waiting)
    assert q.run(resume_queue(q.keys)) == (False, 0)
    assert q.all()["wait"] == [*waiting, "3", "2", "1"]


def test_a_long_legacy_list_comes_back_in_order_over_several_calls(q: Room) -> None:
    old = [str(n) for n in range(9_500)]
    q.r.rpush(q.keys.legacy_paused, *old)
    q.r.rpush(q.keys.wait, "new")
    assert q.run(resume_queue(q.keys)) == (False, 2_500)
    assert q.run(resume_queue(q.keys)) == (False, 0)
    assert q.all()["wait"] == ["new", *old]


@pytest.mark.parametrize("state", ["failed", "completed"])
def test_a_retried_job_waits_and_has_forgotten_its_end(q: Room, state: str) -> None:
    job_id = q.finished(state)
    assert q.run(retry_job(q.keys, job_id)) == Code.OK
    found = q.all()
    assert found["wait"] == [job_id]
    assert state not in found
    assert set(found[job_id]) == {
        "name", "data", "opts", "timestamp", "delay", "priority", "atm", "ats", "stacktrace",
    }  # fmt: skip
    assert found["marker"] == {"0": 0}
    assert q.last_event() == {"event": "waiting", "jobId": job_id, "prev": state}


@pytest.mark.parametrize("priority", [0, 5])
def test_promote_lets_a_delayed_job_wait_behind_the_others_and_moves_nothing_else(q: Room, priority: int) -> None:
    first, later, other = q.add(priority=priority), q.add(delay="1h", priority=priority), q.add(delay="2h")
    before = tables(q.r, q.keys.prefix)
    assert q.run(promote_job(q.keys, later)) == Code.OK
    diff = changed(before, tables(q.r, q.keys.prefix))
    assert diff.pop(q.keys.events) == [{"event": "waiting", "jobId": later, "prev": "delayed"}]
    assert diff.pop(q.keys.delayed) == {other: before[q.keys.delayed][other]}
    assert diff.pop(q.keys.job(later)) == {**before[q.keys.job(later)], "delay": "0"}
    if priority:
        assert diff.pop(f"{q.keys.base}pc") == "2"
        assert list(diff.pop(q.keys.prioritized)) == [first, later]
    else:
        assert diff.pop(q.keys.wait) == [later, first]
    assert set(diff) <= {q.keys.marker}
    assert_one_state_each(q.r, q.keys.prefix, q.keys.queue)


def test_promote_leaves_what_is_not_delayed_alone(q: Room) -> None:
    waiting = q.add()
    q.r.zadd(q.keys.delayed, {"ghost": 1})
    before = tables(q.r, q.keys.prefix)
    assert q.run(promote_job(q.keys, waiting)) == Code.WRONG_STATE
    assert q.run(promote_job(q.keys, "ghost")) == Code.MISSING_JOB
    assert q.run(promote_job(q.keys, "none")) == Code.MISSING_JOB
    assert changed(before, tables(q.r, q.keys.prefix)) == {}


def test_promote_wakes_a_worker_unless_the_queue_is_paused(q: Room) -> None:
    later = q.add(delay="1h")
    q.r.delete(q.keys.marker)
    q.run(promote_job(q.keys, later))
    assert q.r.zscore(q.keys.marker, "0") == 0
    again = q.add(delay="1h")
    q.run(pause_queue(q.keys, who="alice", why=None, now_ms=NOW))
    q.r.delete(q.keys.marker)
    q.run(promote_job(q.keys, again))
    assert not q.r.exists(q.keys.marker)
    assert again in q.r.lrange(q.keys.wait, 0, -1)


def test_a_retried_job_goes_by_its_live_priority(q: Room) -> None:
    job_id = q.finished("failed", priority=7)
    q.r.hset(q.keys.job(job_id), "priority", 3)
    q.run(retry_job(q.keys, job_id))
    assert [int(score) >> 32 for score in q.all()["prioritized"].values()] == [3]


def test_a_retried_lifo_job_goes_to_the_front(q: Room) -> None:
    job_id = q.finished("failed", lifo=True)
    other = q.add()
    q.run(retry_job(q.keys, job_id))
    assert q.all()["wait"] == [other, job_id]


def test_what_is_not_finished_cannot_be_retried(q: Room) -> None:
    job_id = q.add()
    before = q.all()
    assert q.run(retry_job(q.keys, job_id)) == Code.WRONG_STATE
    assert q.run(retry_job(q.keys, "none")) == Code.MISSING_JOB
    assert q.all() == before


@pytest.mark.parametrize(
    ("options", "prev"), [({}, "wait"), ({"priority": 1}, "prioritized"), ({"delay": 5}, "delayed")]
)
def test_a_removed_job_leaves_nothing(q: Room, options: dict[str, Any], prev: str) -> None:
    job_id = q.add(deduplicate="d", **options)
    q.r.rpush(q.keys.logs(job_id), "line")
    assert q.run(remove_job(q.keys, job_id)) == 1
    assert set(q.all()) - {"marker", "pc"} == {"meta", "id", "events"}
    assert q.last_event() == {"event": "removed", "jobId": job_id, "prev": prev}
    assert q.run(remove_job(q.keys, job_id)) == Code.MISSING_JOB


def test_a_job_that_a_worker_runs_is_not_removed(q: Room) -> None:
    job_id = q.add()
    q.r.lmove(q.keys.wait, q.keys.active, "RIGHT", "LEFT")
    q.r.set(q.keys.lock(job_id), "token")
    before = q.all()
    assert q.run(remove_job(q.keys, job_id)) == 0
    assert q.all() == before


def test_the_current_job_of_a_scheduler_is_not_removed(q: Room) -> None:
    job_id = f"repeat:nightly:{NOW}"
    q.r.hset(q.keys.job(job_id), mapping={"name": "n", "timestamp": NOW, "rjk": "nightly"})
    q.r.zadd(q.keys.delayed, {job_id: NOW * 4096})
    q.r.zadd(q.keys.repeat, {"nightly": NOW})
    before = q.all()
    assert q.run(remove_job(q.keys, job_id)) == Code.SCHEDULER_JOB
    assert q.all() == before


@pytest.mark.parametrize("key", ["meta", "repeat:nightly"])
def test_keys_of_the_queue_are_never_removed_as_jobs(q: Room, key: str) -> None:
    q.add()
    q.r.hset(q.keys.base + "repeat:nightly", mapping={"name": "n", "ic": 1})
    before = q.all()
    assert q.run(remove_job(q.keys, key)) == Code.MISSING_JOB
    assert q.all() == before


def test_removing_the_last_child_releases_its_parent(q: Room) -> None:
    parent, child = q.add(), q.add()
    q.r.lrem(q.keys.wait, 1, parent)
    q.r.zadd(q.keys.waiting_children, {parent: NOW})
    q.r.sadd(f"{q.keys.job(parent)}:dependencies", q.keys.job(child))
    q.r.hset(q.keys.job(child), mapping={
        "parentKey": q.keys.job(parent), "parent": f'{{"id":"{parent}","queueKey":"{q.keys.qualified}"}}',
    })  # fmt: skip
    assert q.run(remove_job(q.keys, child)) == 1
    assert q.run(get_state(q.keys, parent)) is State.WAITING
    events = [fields for _, fields in q.r.xrange(q.keys.events)][-2:]
    assert events[0] == {"event": "waiting", "jobId": parent, "prev": "waiting-children"}


def test_global_concurrency_is_set_and_lifted(q: Room) -> None:
    q.run(set_global_concurrency(q.keys, 7))
    assert q.run(queue_facts(q.keys)).concurrency == 7
    q.run(set_global_concurrency(q.keys, None))
    assert q.run(queue_facts(q.keys)).concurrency is None


def test_a_job_is_read_whatever_lies_in_its_hash(q: Room) -> None:
    job_id = q.add()
    q.r.hset(q.keys.job(job_id), mapping={
        "data": "{oops", "opts": "[1]", "progress": "NaN", "timestamp": "soon", "stacktrace": '"x"', "returnvalue": "",
    })  # fmt: skip
    job = q.run(get_job(q.keys, job_id))
    assert (job.data, job.opts, job.state) == ("{oops", {}, State.WAITING)
    assert sorted(job.broken) == ["data", "opts", "progress", "returnvalue", "timestamp"]
    assert q.run(get_job(q.keys, "none")) is None


@pytest.mark.parametrize("key", ["wait", "meta", "events", "de:x", ""])
def test_a_key_of_the_queue_is_no_job(q: Room, key: str) -> None:
    q.add(deduplicate="x")
    assert q.run(get_job(q.keys, key)) is None
