"""lua/lib/copy_dead.lua: the copy of a failed job, and what goes wrong with the queue it goes to."""

from __future__ import annotations

import json

import pytest

from jobd.engine.job import Finish
from jobd.engine.states import Outcome
from tests.support.queue_of import NOW, QueueOf


def fail(q: QueueOf, reason: str = "boom") -> None:
    (job,) = q.take()
    finish = Finish(job.id, job.token, Outcome.FAILED, reason.encode(), attempts=1, dead_letter="dead")
    assert q.turn(finish).codes == [0]


def copies(q: QueueOf) -> list[dict[str, str]]:
    base = f"{q.prefix}:dead:"
    return [q.r.hgetall(base + job_id) for job_id in q.r.lrange(base + "wait", 0, -1)]


def test_telemetry_travels_with_the_copy_and_nothing_else_of_the_options(q: QueueOf) -> None:
    q.put(
        "1",
        opts='{"attempts": 3, "delay": 5, "tm": "t", "omc": true, "de": {"id": "d"}}',
        data='{"big": 12345678901234567890}',
    )
    fail(q)
    (copy,) = copies(q)
    opts = json.loads(copy["opts"])
    letter = {"queue": "q", "id": "1", "reason": "boom", "attemptsMade": 1, "failedAt": NOW}
    assert opts == {"attempts": 0, "tm": "t", "omc": True, "deadLetter": letter}
    assert copy["data"] == '{"big": 12345678901234567890}'


def test_a_long_reason_is_cut_between_characters_in_the_options_only(q: QueueOf) -> None:
    q.put("1")
    fail(q, "x" + "\u20ac" * 5000)
    (copy,) = copies(q)
    assert json.loads(copy["opts"])["deadLetter"]["reason"] == "x" + "\u20ac" * 666
    assert len(copy["failedReason"]) == 5001


@pytest.mark.parametrize("key", ["wait", "events", "meta"])
def test_a_key_of_a_wrong_type_there_costs_the_job_nothing(q: QueueOf, key: str) -> None:
    q.put("1")
    q.r.set(f"{q.prefix}:dead:{key}", "x")
    fail(q)
    assert q.r.zrange(q.keys.failed, 0, -1) == ["1"]


def test_an_idle_worker_of_that_queue_is_woken_unless_it_is_paused(q: QueueOf) -> None:
    q.put("1")
    q.put("2")
    fail(q)
    assert q.r.zrange(f"{q.prefix}:dead:marker", 0, -1) == ["0"]
    q.r.delete(f"{q.prefix}:dead:marker")
    q.r.hset(f"{q.prefix}:dead:meta", "paused", "1")
    fail(q)
    assert (len(copies(q)), q.r.exists(f"{q.prefix}:dead:marker")) == (2, 0)
