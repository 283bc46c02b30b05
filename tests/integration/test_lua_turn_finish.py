"""lua/turn.lua, its first half: what each outcome leaves in Redis, and which finishes are refused."""

from __future__ import annotations

import json

import pytest

from jobd.engine.job import KEEP_NONE, Finish, Keep
from jobd.engine.keys import Keys
from jobd.engine.states import Outcome
from tests.support.queue_of import NOW, PREFIX, QueueOf, done, ended, failed


@pytest.mark.parametrize("short_way", [True, False])
def test_a_completed_job_is_kept_with_its_result(q: QueueOf, short_way: bool) -> None:
    q.put("1", atm=2)
    (job,) = q.take()
    q.r.sadd(q.keys.stalled, "1")
    before = q.tables()
    assert q.turn(done(job, b'{"r":1}') if short_way else ended(job, value=b'{"r":1}')).codes == [0]
    assert q.changed_since(before) == {
        "1": {**before[q.keys.job("1")], "returnvalue": '{"r":1}', "finishedOn": str(NOW), "atm": "3"},
        "1:lock": None,
        "active": None,
        "stalled": None,
        "completed": {"1": float(NOW)},
        "events": [
            {"event": "completed", "jobId": "1", "returnvalue": '{"r":1}', "prev": "active"},
            {"event": "drained"},
        ],
    }


@pytest.mark.parametrize("deid", [None, "d"])
def test_a_job_that_completes_first_keeps_its_deferred_failure(q: QueueOf, deid: str | None) -> None:
    q.put("1", **({} if deid is None else {"deid": deid}))
    (job,) = q.take()
    q.r.hset(q.keys.job("1"), "defa", "too late")
    assert q.turn(done(job)).codes == [0]
    assert q.hash("1")["defa"] == "too late"


def test_a_job_failed_for_good_is_kept_with_its_reason(q: QueueOf) -> None:
    q.put("1", defa="x", sus="1")
    (job,) = q.take()
    before = q.tables()
    assert q.turn(failed(job, attempts=1)).codes == [0]
    hash_before = {name: v for name, v in before[q.keys.job("1")].items() if name not in ("defa", "sus")}
    assert q.changed_since(before) == {
        "1": {**hash_before, "failedReason": "boom", "stacktrace": '["trace"]', "finishedOn": str(NOW), "atm": "1"},
        "1:lock": None,
        "active": None,
        "failed": {"1": float(NOW)},
        "events": [
            {"event": "failed", "jobId": "1", "failedReason": "boom", "prev": "active"},
            {"event": "retries-exhausted", "jobId": "1", "attemptsMade": "1"},
            {"event": "drained"},
        ],
    }


def test_a_failure_with_attempts_left_exhausts_nothing(q: QueueOf) -> None:
    q.put("1")
    q.turn(failed(q.take()[0], attempts=3))
    assert not any(event.startswith("retries-exhausted") for event in q.events())


@pytest.mark.parametrize(("lifo", "order"), [(False, ["2", "1"]), (True, ["1", "2"])])
def test_a_retry_at_once_counts_the_attempt_and_goes_to_its_end_of_the_queue(
    q: QueueOf, lifo: bool, order: list[str]
) -> None:
    q.put("1", sus="1")
    (job,) = q.take()
    q.put("2")
    q.r.delete(q.keys.marker)
    before = q.tables()
    assert q.turn(ended(job, Outcome.RETRY, b"boom", stacktrace=b"[]", lifo=lifo)).codes == [0]
    hash_before = {name: v for name, v in before[q.keys.job("1")].items() if name != "sus"}
    assert q.changed_since(before) == {
        "1": {**hash_before, "failedReason": "boom", "stacktrace": "[]", "atm": "1"},
        "1:lock": None,
        "active": None,
        "wait": order[::-1],
        "marker": {"0": 0.0},
        "events": [{"event": "waiting", "jobId": "1", "prev": "active"}],
    }


def test_due_jobs_go_before_a_job_retried_at_once(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    q.put_delayed("due", NOW)
    q.turn(ended(job, Outcome.RETRY, b"boom"))
    assert q.wait() == ["due", "1"]


def test_a_prioritized_retry_goes_behind_its_equals(q: QueueOf) -> None:
    q.put("1", priority=3)
    (job,) = q.take()
    q.put("2", priority=3)
    q.turn(ended(job, Outcome.RETRY, b"boom"))
    assert q.r.zrange(q.keys.prioritized, 0, -1) == ["2", "1"]


@pytest.mark.parametrize(("outcome", "made"), [(Outcome.RETRY, "1"), (Outcome.LATER, None)])
def test_a_delayed_job_is_due_later_and_only_a_retry_counts(q: QueueOf, outcome: Outcome, made: str | None) -> None:
    q.put("1")
    (job,) = q.take()
    q.put_delayed("other", NOW + 700)
    before = q.tables()
    assert q.turn(ended(job, outcome, b"boom", delay_ms=700)).codes == [0]
    counted = {"atm": made, "failedReason": "boom"} if made else {}
    assert q.changed_since(before) == {
        "1": {**before[q.keys.job("1")], "delay": "700", **counted},
        "1:lock": None,
        "active": None,
        "delayed": {"other": float((NOW + 700) * 4096), "1": float((NOW + 700) * 4096 + 1)},
        "marker": {"0": 0.0, "1": float(NOW + 700)},
        "events": [{"event": "delayed", "jobId": "1", "delay": str(NOW + 700)}],
    }


def test_jobs_handed_back_newest_first_run_in_their_old_order_and_stay_suspects(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id)
    first, second = q.take(2)
    q.turn(ended(second, Outcome.HAND_BACK), ended(first, Outcome.HAND_BACK))
    assert q.wait() == ["1", "2", "3"]
    assert q.hash("1")["ats"] == "1"
    assert "atm" not in q.hash("1")


def test_a_prioritized_job_handed_back_goes_before_its_equals(q: QueueOf) -> None:
    q.put("1", priority=7)
    (job,) = q.take()
    q.r.delete(q.keys.marker)
    q.turn(ended(job, Outcome.HAND_BACK))
    assert q.r.zscore(q.keys.prioritized, "1") == 7 * 2**32
    assert q.r.zrange(q.keys.marker, 0, -1) == ["0"]


@pytest.mark.parametrize("short_way", [True, False])
@pytest.mark.parametrize(
    ("harm", "code"), [("lock-gone", -2), ("lock-other", -6), ("not-active", -3), ("children", -4)]
)
def test_a_refused_finish_changes_nothing_and_its_neighbours_complete(
    q: QueueOf, harm: str, code: int, short_way: bool
) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id)
    jobs = q.take(3)
    _harm(q, harm)
    finish = done if short_way else ended
    before = q.tables()
    assert q.turn(*(finish(job) for job in jobs)).codes == [0, code, 0]
    touched = q.changed_since(before)
    assert not [name for name in touched if name in ("2", "2:lock", "2:dependencies")]
    assert set(touched["completed"]) == {"1", "3"}
    _heal(q, harm)


@pytest.mark.parametrize("short_way", [True, False])
def test_a_job_deleted_while_it_ran_stays_nowhere(q: QueueOf, short_way: bool) -> None:
    q.put("1")
    q.put("2")
    finish = done if short_way else ended
    jobs = q.take(2)
    q.r.delete(q.keys.job("2"))
    assert q.turn(*map(finish, jobs)).codes == [0, -1]
    assert q.r.exists(q.keys.active, q.keys.lock("2")) == 0


def _harm(q: QueueOf, harm: str) -> None:
    match harm:
        case "lock-gone":
            q.r.delete(q.keys.lock("2"))
            q.r.hset(q.keys.job("2"), "ats", "2")
        case "lock-other":
            q.r.set(q.keys.lock("2"), "someone:0")
        case "not-active":
            q.r.lrem(q.keys.active, 1, "2")
        case "children":
            q.r.sadd(f"{q.keys.job('2')}:dependencies", "x:y:1")


def _heal(q: QueueOf, harm: str) -> None:
    if harm == "not-active":
        q.r.lpush(q.keys.active, "2")


def test_a_failed_child_forbids_completion_but_not_failure(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    q.r.zadd(f"{q.keys.job('1')}:unsuccessful", {"x:y:1": 1})
    assert q.turn(done(job)).codes == [-9]
    assert q.turn(failed(job)).codes == [0]


def test_a_lock_that_ran_out_is_no_loss_while_nobody_took_the_job(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    q.r.delete(q.keys.lock("1"))
    assert q.turn(done(job)).codes == [0]
    assert q.r.zrange(q.keys.completed, 0, -1) == ["1"]


@pytest.mark.parametrize(
    "outcome", [Outcome.COMPLETED, Outcome.FAILED, Outcome.RETRY, Outcome.LATER, Outcome.HAND_BACK]
)
@pytest.mark.parametrize("keep", [Keep(), KEEP_NONE])
def test_every_finish_sent_twice_changes_nothing_more(q: QueueOf, outcome: Outcome, keep: Keep) -> None:
    q.put("1")
    (job,) = q.take()
    finish = ended(job, outcome, b"1", delay_ms=50 if outcome is Outcome.LATER else 0, keep=keep)
    assert q.turn(finish).codes == [0]
    before = q.tables()
    assert q.turn(finish).codes[0] in (-1, -2)
    assert q.changed_since(before) == {}


def test_a_late_finish_cannot_act_on_the_next_attempt_of_the_same_worker(q: QueueOf) -> None:
    q.put("1")
    (first,) = q.take()
    q.turn(ended(first, Outcome.RETRY, b"boom"))
    (second,) = q.take()
    assert (first.token, second.token) == (f"{PREFIX}1", f"{PREFIX}2")
    assert q.turn(done(first)).codes == [-6]
    assert q.turn(done(second)).codes == [0]
    assert q.hash("1")["atm"] == "2"


def test_one_turn_carries_every_outcome_and_takes_the_next(q: QueueOf) -> None:
    for number in range(8):
        q.put(f"j{number}")
    a, b, c, d, e, f = q.take(6)
    reply = q.turn(
        failed(a, attempts=1), done(b, b"1"), ended(c, Outcome.RETRY, b"x", delay_ms=9), done(d, b"2", keep=KEEP_NONE),
        ended(e, Outcome.LATER, delay_ms=9), done(f, b"3"), take=2,
    )  # fmt: skip
    assert reply.codes == [0] * 6
    assert [job.id for job in reply.jobs] == ["j6", "j7"]
    assert q.r.zrange(q.keys.completed, 0, -1) == ["j1", "j5"]
    assert q.r.zrange(q.keys.failed, 0, -1) == ["j0"]
    assert q.r.zrange(q.keys.delayed, 0, -1) == ["j2", "j4"]
    assert (q.hash("j1")["returnvalue"], q.hash("j5")["returnvalue"]) == ("1", "3")
    assert not q.r.exists(q.keys.job("j3"))


def test_the_stream_is_bounded_and_a_missing_bound_is_written(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    q.r.hdel(q.keys.meta, "opts.maxLenEvents")
    q.turn(done(job))
    assert q.r.hget(q.keys.meta, "opts.maxLenEvents") == "10000"


def test_drained_is_told_only_when_nothing_comes_any_more(q: QueueOf) -> None:
    q.put("1")
    (job,) = q.take()
    q.put_delayed("later", NOW + 9_000)
    q.turn(done(job), take=1)
    assert "drained" not in q.events()
    q.put("2")
    (job,) = q.take()
    q.turn(done(job))
    assert q.events()[-1] == "drained"


@pytest.mark.parametrize("ttl", [None, 60_000])
def test_a_finished_job_gives_up_its_deduplication_id_unless_that_has_a_lifetime(q: QueueOf, ttl: int | None) -> None:
    owner = f"{q.keys.base}de:d"
    q.put("1", deid="d")
    q.r.set(owner, "1", px=ttl)
    (job,) = q.take()
    q.turn(done(job, deduplication_id=job.deduplication_id))
    assert q.r.exists(owner) == (ttl is not None)


def test_a_deduplication_id_that_another_job_owns_stays(q: QueueOf) -> None:
    q.put("1", deid="d")
    q.r.set(f"{q.keys.base}de:d", "2")
    (job,) = q.take()
    q.turn(failed(job))
    assert q.r.get(f"{q.keys.base}de:d") == "2"


@pytest.mark.parametrize(
    ("opts", "state", "last"),
    [({}, "wait", "waiting 3"), ({"priority": 4}, "prioritized", "waiting 3"),
     ({"delay": 50}, "delayed", f"delayed 3 delay={NOW + 50}")],
)  # fmt: skip
def test_the_job_parked_behind_a_running_one_is_added_when_that_ends(
    q: QueueOf, opts: dict[str, int], state: str, last: str
) -> None:
    q.put("1", deid="d")
    q.r.set(f"{q.keys.base}de:d", "1")
    q.r.set(q.keys.id, "3")
    (job,) = q.take()
    stored = json.dumps({"attempts": 2, "de": {"id": "d", "keepLastIfActive": True}, **opts})
    q.r.hset(f"{q.keys.base}dn:d", mapping={"name": "n", "data": '{"v":3}', "opts": stored, "jid": "3"})
    before = len(q.events())
    q.turn(done(job, deduplication_id="d"))
    told = ["added 3 name=n", last, "completed 1 returnvalue=null prev=active"]
    assert q.events()[before:][:3] == told
    assert q.hash("3") == {
        "name": "n", "data": '{"v":3}', "opts": stored, "timestamp": str(NOW), "delay": str(opts.get("delay", 0)),
        "priority": str(opts.get("priority", 0)), "deid": "d",
    }  # fmt: skip
    assert (q.r.get(f"{q.keys.base}de:d"), q.r.get(q.keys.id)) == ("3", "4")
    assert not q.r.exists(f"{q.keys.base}dn:d")
    assert q.r.type(Keys(q.prefix, q.name).base + state) != "none"


def test_a_parent_is_left_alone_by_its_child(q: QueueOf) -> None:
    parent = f"{q.prefix}:other:p"
    q.put("1", parentKey=parent, parent='{"id":"p"}')
    q.r.sadd(f"{parent}:dependencies", q.keys.job("1"))
    (job,) = q.take()
    q.turn(failed(job))
    assert q.r.smembers(f"{parent}:dependencies") == {q.keys.job("1")}


@pytest.mark.parametrize("broken", ["wait", "events", "p:dependencies", "p:processed", "waiting-children", "meta"])
def test_a_parent_whose_keys_are_of_a_wrong_type_costs_its_child_nothing(q: QueueOf, broken: str) -> None:
    base = f"{q.prefix}:other:"
    q.put("1", parentKey=f"{base}p", parent=f'{{"id":"p","queueKey":"{q.prefix}:other"}}')
    if not broken.startswith("p:dep"):
        q.r.sadd(f"{base}p:dependencies", q.keys.job("1"))
    q.r.hset(f"{base}p", "name", "n")
    if broken != "waiting-children":
        q.r.zadd(f"{base}waiting-children", {"p": NOW})
    q.r.set(f"{base}{broken}", "text")
    (job,) = q.take()
    assert q.turn(done(job, child=True)).codes == [0]
    assert q.r.zscore(q.keys.completed, "1")
    if broken in ("wait", "events", "meta"):
        assert q.r.zscore(f"{base}waiting-children", "p")


def test_a_released_parent_wakes_the_workers_of_its_queue(q: QueueOf) -> None:
    base = f"{q.prefix}:other:"
    q.put("1", parentKey=f"{base}p", parent=f'{{"id":"p","queueKey":"{q.prefix}:other"}}')
    q.r.sadd(f"{base}p:dependencies", q.keys.job("1"))
    q.r.hset(f"{base}p", "name", "n")
    q.r.zadd(f"{base}waiting-children", {"p": NOW})
    (job,) = q.take()
    q.turn(done(job, child=True))
    assert q.r.lrange(f"{base}wait", 0, -1) == ["p"]
    assert q.r.zscore(f"{base}marker", "0") == 0


def test_a_parent_attached_while_the_job_ran_hears_of_its_end(q: QueueOf) -> None:
    base = f"{q.prefix}:other:"
    q.put("mine")
    q.put("2")
    jobs = q.take(2)
    q.r.hset(
        q.keys.job("mine"), mapping={"parentKey": f"{base}p", "parent": f'{{"id":"p","queueKey":"{q.prefix}:other"}}'}
    )
    q.r.sadd(f"{base}p:dependencies", q.keys.job("mine"))
    q.r.hset(f"{base}p", "name", "n")
    q.r.zadd(f"{base}waiting-children", {"p": NOW})
    assert q.turn(*map(done, jobs)).codes == [0, 0]
    assert q.r.lrange(f"{base}wait", 0, -1) == ["p"]


@pytest.mark.parametrize("priority", [0, 7])
def test_a_rate_limited_job_goes_back_to_its_place_and_its_queue_rests(q: QueueOf, priority: int) -> None:
    for job_id in ("first", "second"):
        q.put(job_id, priority=priority)
    (job,) = q.take()
    before = q.tables()
    reply = q.turn(Finish(job.id, job.token, Outcome.LIMITED, delay_ms=5000), take=1)
    assert (reply.codes, reply.jobs) == ([0], [])
    assert 4000 < (reply.limited_ms or 0) <= 5000
    changed = q.changed_since(before)
    assert changed.pop("limiter") == "9007199254740991"
    assert changed.pop("first:lock") is None
    assert changed.pop("active") is None
    assert changed.pop("events")
    assert set(changed) <= {"wait", "prioritized", "marker"}
    assert q.events()[-1] == "waiting first prev=active"
    q.r.delete(q.keys.limiter)
    assert q.ids(2) == ["first", "second"]
