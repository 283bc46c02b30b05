"""lua/turn.lua with a limit per key: who starts, who is set aside, who comes forward, and what a death leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobd.engine.job import Finish, KeyLimit, Taken
from jobd.engine.locks import adopt_jobs, check_stalled, hand_back_jobs, recover_jobs
from jobd.engine.states import Outcome
from tests.support.queue_of import NOW, PREFIX, QueueOf, done

ONE = KeyLimit("t", 1)
TWO = KeyLimit("t", 2)
MINUTE = 60_000


def put(q: QueueOf, *ids: str, **fields: Any) -> None:
    """Jobs whose key is the first letter of their id."""
    for job_id in ids:
        q.put(job_id, data=json.dumps({"t": job_id[0]}), **fields)


def ended(job: Taken, outcome: Outcome = Outcome.COMPLETED, **more: Any) -> Finish:
    return Finish(job.id, job.token, outcome, key=job.key, **more)


def held(q: QueueOf) -> dict[str, list[str]]:
    """The ids that count for each key, by what is stored."""
    return {key: text.split("\n")[1:-1] for key, text in q.r.hgetall(q.keys.base + "jobd-keys").items()}


def aside(q: QueueOf, key: str) -> list[str]:
    return list(q.r.zrange(f'{q.keys.base}jobd-aside:"{key}"', 0, -1))


def test_one_too_many_is_delayed_by_a_minute_and_the_next_key_has_its_turn(q: QueueOf) -> None:
    put(q, "a1", "a2", "b1")
    reply = q.turn(take=3, per_key=ONE)
    assert [(job.id, job.key) for job in reply.jobs] == [("a1", b'"a"'), ("b1", b'"b"')]
    assert q.r.zrange(q.keys.delayed, 0, -1, withscores=True) == [("a2", (NOW + MINUTE) * 4096)]
    assert reply.next_due_ms == NOW + MINUTE
    assert q.hash("a2")["delay"] == str(MINUTE)
    assert f"delayed a2 delay={NOW + MINUTE}" in q.events()
    assert held(q) == {'"a"': ["a1"], '"b"': ["b1"]}
    q.assert_sound()


def test_results_without_a_take_bring_the_next_of_the_key_and_a_marker(q: QueueOf) -> None:
    put(q, "a1", "a2")
    (job,) = q.take(2, per_key=ONE)
    q.r.delete(q.keys.marker)
    assert q.turn(ended(job), per_key=ONE).codes == [0]
    assert q.r.lrange(q.keys.wait, 0, -1) == ["a2"]
    assert q.r.exists(q.keys.marker)


def test_an_id_that_waits_twice_is_read_twice(q: QueueOf) -> None:
    put(q, "a1", "b1")
    q.r.rpush(q.keys.wait, "a1", "b1", "a1")
    found = [(job.id, job.key) for job in q.take(5, per_key=KeyLimit("t", 9))]
    assert sorted(found) == [("a1", b'"a"')] * 3 + [("b1", b'"b"')] * 2
    q.r.delete(q.keys.active)
    q.r.lpush(q.keys.active, "a1", "b1")


@pytest.mark.parametrize("priority", ["nan", "-nan", "inf", "1e300", "-5", "x", ""])
def test_a_priority_that_is_none_costs_no_job_its_place(q: QueueOf, priority: str) -> None:
    put(q, "a1", "a2", "a3", "b1")
    for job_id in ("a2", "a3"):
        q.r.hset(q.keys.job(job_id), "priority", priority)
    assert q.ids(4, per_key=ONE) == ["a1", "b1"]
    assert aside(q, "a") == ["a2", "a3"]
    q.assert_sound()


def test_the_finish_of_a_job_of_its_key_brings_the_oldest_back(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3", "b1")
    first, other = q.take(4, per_key=ONE)
    assert aside(q, "a") == ["a2", "a3"]
    q.r.delete(q.keys.marker)
    q.turn(done(other, key=other.key), per_key=ONE)
    assert q.wait() == []
    q.turn(done(first, key=first.key), per_key=ONE)
    assert q.wait() == ["a2"]
    assert q.r.zscore(q.keys.marker, "0") == 0
    assert q.hash("a2")["delay"] == "0"
    assert q.events()[-1] == "waiting a2 prev=delayed"
    assert q.ids(5, per_key=ONE) == ["a2"]
    assert aside(q, "a") == ["a3"]
    q.assert_sound()


def test_one_turn_finishes_and_takes_the_next_of_the_key(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3")
    (job,) = q.take(3, per_key=ONE)
    order = [job.id]
    while job:
        jobs = q.turn(done(job, key=job.key), take=3, per_key=ONE).jobs
        job = jobs[0] if jobs else None  # type: ignore[assignment]
        order += [each.id for each in jobs]
    assert order == ["a1", "a2", "a3"]
    assert not q.r.keys(f"{q.keys.base}jobd-*")


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ('{"t":7}', b"7"),
        ('{"t":"7"}', b'"7"'),
        ('{ "x" : [1,{"t":2},"\\"}"] , "t" : 12345678901234567890 }', b"12345678901234567890"),
        ('{"t":{"id":1}}', b'{"id":1}'),
        ('{"t":true}', b"true"),
        ('{"t":"\\u00e9"}', '"é"'.encode()),
        ('{"\\u0074":1}', b"1"),
        ('{"t":null}', None),
        ("{}", None),
        ("[]", None),
        ("null", None),
        ('"t"', None),
        ('{"x":{"t":1}}', None),
        ('{"t"', None),
        ('{"t":', None),
        ('{"t":"', None),
        ('{"x":"\\', None),
        ('{"x":[', None),
        ("", None),
    ],
)
def test_the_key_is_the_json_text_of_the_member(q: QueueOf, data: str, key: bytes | None) -> None:
    q.put("1", data=data)
    assert [job.key for job in q.take(1, per_key=ONE)] == [key]


def test_a_path_leads_into_data_or_options(q: QueueOf) -> None:
    q.put("1", data='{"tenant":{"id":5}}', opts='{"attempts":1,"group":{"id":"g"}}')
    (job,) = q.take(1, per_key=KeyLimit("tenant.id", 1))
    assert job.key == b"5"
    q.turn(ended(job, Outcome.RETRY), per_key=KeyLimit("tenant.id", 1))
    assert [job.key for job in q.take(1, per_key=KeyLimit("opts.group.id", 1))] == [b'"g"']


def test_a_long_key_counts_by_its_hash(q: QueueOf) -> None:
    for job_id in ("1", "2"):
        q.put(job_id, data=json.dumps({"t": "x" * 5000}))
    (job,) = q.take(2, per_key=ONE)
    assert job.key and len(job.key) == 40


def test_jobs_without_the_key_are_not_limited(q: QueueOf) -> None:
    for number in range(5):
        q.put(str(number))
    assert len(q.ids(5, per_key=ONE)) == 5
    assert held(q) == {}


def test_order_within_a_key_holds_when_a_newer_job_meets_a_free_place(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3")
    (job,) = q.take(3, per_key=ONE)
    put(q, "a4")
    # As after the death of everything that knows of keys: the place is free and nobody brought a2 forward.
    q.turn(done(job))
    assert q.ids(1, per_key=ONE) == ["a2"]
    assert aside(q, "a") == ["a3", "a4"]
    q.assert_sound()


def test_one_that_comes_due_while_its_key_is_full_is_delayed_again_where_it_is(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3", "b1")
    first, _ = q.take(4, per_key=ONE)
    before = q.tables()
    assert q.ids(4, per_key=ONE, now=NOW + MINUTE) == []
    assert q.r.zrange(q.keys.delayed, 0, -1, withscores=True) == [
        ("a2", (NOW + 2 * MINUTE) * 4096), ("a3", (NOW + 2 * MINUTE) * 4096 + 1),
    ]  # fmt: skip
    assert set(q.changed_since(before)) <= {"delayed", "marker"}  # no event, and wait was not touched
    # A place is free and nobody brought the next one forward: as many come as there is room for.
    q.r.hdel(q.keys.base + "jobd-keys", '"a"')
    q.r.hset(q.keys.base + "jobd-keys", '"a"', "a\n")
    assert q.ids(4, per_key=ONE, now=NOW + 3 * MINUTE) == ["a2"]
    assert aside(q, "a") == ["a3"]
    assert first.id == "a1"
    q.assert_sound()


def test_with_more_room_the_newer_one_starts_right_behind(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3")
    jobs = q.take(3, per_key=TWO)
    assert [job.id for job in jobs] == ["a1", "a2"]
    put(q, "a4")
    q.turn(*[done(job) for job in jobs])
    assert q.ids(5, per_key=TWO) == ["a3", "a4"]
    q.assert_sound()


def test_a_job_set_aside_that_came_due_keeps_its_place(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3")
    (job,) = q.take(3, per_key=ONE)
    assert q.ids(3, per_key=ONE, now=NOW + MINUTE) == []
    assert aside(q, "a") == ["a2", "a3"]
    assert q.turn(done(job, key=job.key), take=1, per_key=ONE, now=NOW + MINUTE + 1).jobs[0].id == "a2"
    q.assert_sound()


def test_several_free_places_bring_several_forward_in_order(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3", "a4", "a5")
    jobs = q.take(5, per_key=TWO)
    q.turn(*[done(job, key=job.key) for job in jobs], per_key=TWO)
    assert q.wait() == ["a3", "a4"]
    assert q.ids(5, per_key=TWO) == ["a3", "a4"]


def test_two_brought_forward_apart_from_each_other_start_in_order(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3", "a4", "a5")
    first, second = q.take(5, per_key=TWO)
    q.turn(done(first, key=first.key), per_key=TWO)
    q.turn(done(second, key=second.key), per_key=TWO)
    assert set(q.wait()) == {"a3", "a4"}
    assert q.ids(5, per_key=TWO) == ["a3", "a4"]
    q.assert_sound()


def test_a_better_priority_goes_first_among_those_of_a_key(q: QueueOf) -> None:
    put(q, "a1")
    put(q, "a2", "a3", priority=5)
    (job,) = q.take(3, per_key=ONE)
    put(q, "a4", priority=1)
    assert q.ids(3, per_key=ONE) == []
    assert aside(q, "a") == ["a4", "a2", "a3"]
    q.turn(done(job, key=job.key), per_key=ONE)
    assert q.ids(1, per_key=ONE) == ["a4"]
    q.assert_sound()


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.RETRY, Outcome.LATER, Outcome.WAIT_FOR_CHILDREN])
def test_any_end_of_an_attempt_frees_the_place(q: QueueOf, outcome: Outcome) -> None:
    put(q, "a1", "a2")
    (job,) = q.take(2, per_key=ONE)
    q.turn(ended(job, outcome, delay_ms=5000), per_key=ONE)
    assert q.ids(1, per_key=ONE) == ["a2"]
    q.assert_sound()


@pytest.mark.parametrize("outcome", [Outcome.HAND_BACK, Outcome.LIMITED, Outcome.LATER])
def test_a_job_that_goes_back_to_the_front_is_the_first_of_its_key(q: QueueOf, outcome: Outcome) -> None:
    put(q, "a1", "a2")
    (job,) = q.take(2, per_key=ONE)
    q.turn(ended(job, outcome), per_key=ONE)
    assert held(q) == {'"a"': []}
    assert q.ids(1, per_key=ONE) == ["a1"]
    q.assert_sound()


def test_a_deleted_job_frees_its_place(q: QueueOf) -> None:
    put(q, "a1", "a2")
    (job,) = q.take(2, per_key=ONE)
    q.r.delete(q.keys.job("a1"))
    assert q.turn(done(job, key=job.key), per_key=ONE).codes == [-1]
    assert q.ids(1, per_key=ONE) == ["a2"]


def test_hand_back_frees_the_places_and_keeps_the_order(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3", "a4")
    q.take(4, per_key=TWO)
    assert q.run(hand_back_jobs(q.keys, PREFIX)) == [("a2", 1), ("a1", 1)]
    assert held(q) == {'"a"': []}
    assert q.ids(4, per_key=TWO, prefix="other:w:") == ["a1", "a2"]
    q.assert_sound()


def test_recovery_frees_the_places_and_a_failed_one_lets_the_next_forward(q: QueueOf) -> None:
    put(q, "a1", "a2", "a3", "b1")
    q.take(4, per_key=ONE)
    command = recover_jobs(
        q.keys, PREFIX, begun=[("a1", 1), ("b1", 1)], counted=True, max_crashes=0, reason="worker died", now_ms=NOW
    )
    assert {job.job_id for job in q.run(command)} == {"a1", "b1"}
    assert held(q) == {'"a"': []}
    assert q.ids(4, per_key=ONE) == ["a2"]
    q.assert_sound()


def test_a_recovered_job_runs_before_those_set_aside(q: QueueOf) -> None:
    put(q, "a1", "a2")
    q.take(2, per_key=ONE)
    q.run(recover_jobs(q.keys, PREFIX, begun=[("a1", 1)], counted=True, max_crashes=1, reason="x", now_ms=NOW))
    assert q.ids(2, per_key=ONE) == ["a1"]
    assert held(q) == {'"a"': ["a1"]}
    q.assert_sound()


def test_the_stalled_check_frees_the_places(q: QueueOf) -> None:
    put(q, "a1", "a2")
    q.take(2, per_key=ONE)
    q.r.delete(q.keys.lock("a1"))
    for _ in range(2):
        q.r.delete(q.keys.stalled_check)
        q.run(check_stalled(q.keys, now_ms=NOW, interval_ms=1000, max_crashes=1))
    assert held(q) == {'"a"': []}
    assert q.ids(2, per_key=ONE) == ["a1"]


def test_a_place_whose_job_nobody_runs_any_more_is_free(q: QueueOf) -> None:
    put(q, "a1", "a2")
    q.take(1, per_key=ONE)
    # As a Node worker's stalled check leaves it: the job waits, nothing is known of keys.
    q.r.delete(q.keys.lock("a1"))
    q.r.lrem(q.keys.active, 1, "a1")
    q.r.lpush(q.keys.wait, "a1")
    assert q.ids(2, per_key=ONE) == ["a2"]
    assert held(q) == {'"a"': ["a2"]}
    q.assert_sound()


def test_a_job_without_a_lock_still_counts_while_it_is_active(q: QueueOf) -> None:
    put(q, "a1", "a2")
    q.take(1, per_key=ONE)
    q.r.delete(q.keys.lock("a1"))
    assert q.ids(2, per_key=ONE) == []


@pytest.mark.parametrize("how", ["removed", "finished elsewhere", "runs elsewhere"])
def test_a_job_set_aside_that_is_gone_holds_nobody_up(q: QueueOf, how: str) -> None:
    put(q, "a1", "a2", "a3")
    (job,) = q.take(3, per_key=ONE)
    q.r.zrem(q.keys.delayed, "a2")
    match how:
        case "removed":
            q.r.delete(q.keys.job("a2"))
        case "finished elsewhere":
            q.r.hset(q.keys.job("a2"), "finishedOn", NOW)
            q.r.zadd(q.keys.completed, {"a2": NOW})
        case "runs elsewhere":
            q.r.set(q.keys.lock("a2"), "node")
            q.r.lpush(q.keys.active, "a2")
    q.turn(done(job, key=job.key), per_key=ONE)
    assert q.ids(1, per_key=ONE) == ["a3"]
    assert aside(q, "a") == []
    q.assert_sound()


def test_an_adopted_job_brings_its_key(q: QueueOf) -> None:
    put(q, "a1")
    q.take(1, per_key=ONE)
    assert [job.key for job in q.run(adopt_jobs(q.keys, PREFIX, ()))] == [b'"a"']


def test_a_turn_sets_aside_a_bounded_number_and_wakes_somebody_for_the_rest(q: QueueOf) -> None:
    put(q, *[f"a{number}" for number in range(300)])
    put(q, "b1")
    assert q.ids(1, per_key=ONE) == ["a0"]
    q.r.delete(q.keys.marker)
    assert q.ids(1, per_key=ONE) == []
    assert 200 <= q.r.zcard(q.keys.delayed) < 300
    assert q.r.zscore(q.keys.marker, "0") == 0
    assert q.ids(1, per_key=ONE) == ["b1"]
    q.assert_sound()


def test_a_suspect_waits_for_its_key_too(q: QueueOf) -> None:
    put(q, "a1")
    q.take(1, per_key=ONE)
    put(q, "a2", sus="1")
    put(q, "b1")
    assert q.ids(2, per_key=ONE) == ["b1"]
    q.assert_sound()


def test_broken_books_are_begun_anew(q: QueueOf) -> None:
    put(q, "a1", "a2")
    q.r.hset(q.keys.base + "jobd-keys", '"a"', "no JSON")
    assert q.ids(2, per_key=ONE) == ["a1"]


def test_without_a_limit_per_key_nothing_is_written_about_keys(q: QueueOf) -> None:
    put(q, "a1", "a2")
    jobs = q.take(2)
    assert [job.key for job in jobs] == [None, None]
    assert "jobdkey" not in q.hash("a1")
    assert not q.r.keys(f"{q.keys.base}jobd-*")
