"""lua/turn.lua, its second half: which jobs are taken, and what that leaves in Redis."""

from __future__ import annotations

import pytest

from jobd.engine.job import Finish, Limiter
from jobd.engine.states import Outcome
from tests.support.queue_of import LOCK_MS, NOW, PREFIX, QueueOf, done

MANUAL = 2**53 - 1


def test_taking_a_job_moves_locks_counts_and_tells(q: QueueOf) -> None:
    q.put("1", data='{"a":1}')
    before = q.tables()
    reply = q.turn(take=1, name="web.1")
    assert q.changed_since(before) == {
        "1": {**before[q.keys.job("1")], "processedOn": str(NOW), "pb": "web.1", "ats": "1"},
        "1:lock": f"{PREFIX}1",
        "active": ["1"],
        "wait": None,
        "events": [{"event": "active", "jobId": "1", "prev": "waiting"}],
    }
    assert LOCK_MS - 5_000 < q.r.pttl(q.keys.lock("1")) <= LOCK_MS
    (job,) = reply.jobs
    assert (job.id, job.token, job.name, job.data, job.attempts_started) == ("1", f"{PREFIX}1", "n", b'{"a":1}', 1)
    assert (job.attempts_made, job.crashes, job.priority, job.timestamp, job.suspect) == (0, 0, 0, NOW, False)


def test_waiting_jobs_come_before_prioritized_ones_and_those_by_priority(q: QueueOf) -> None:
    for job_id, priority in (("a", 2), ("b", 0), ("c", 1), ("d", 2), ("e", 0), ("f", 1)):
        q.put(job_id, priority=priority)
    assert q.ids(4) == ["b", "e", "c", "f"]
    assert q.ids(4) == ["a", "d"]
    assert q.r.lrange(q.keys.active, 0, -1) == ["d", "a", "f", "c", "e", "b"]
    assert q.ids(1) == []
    assert not q.r.exists(f"{q.keys.base}pc")


def test_an_unnamed_worker_leaves_no_pb_and_a_second_take_counts_on(q: QueueOf) -> None:
    q.put("1", ats=4, atm=2, stc=1, stacktrace='["x"]', deid="d", rjk="s", defa="no")
    (job,) = q.take()
    assert job.token == f"{PREFIX}5"
    assert (job.attempts_made, job.attempts_started, job.crashes) == (2, 5, 1)
    assert (job.stacktrace, job.deduplication_id, job.scheduler_id, job.deferred_failure) == (b'["x"]', "d", "s", "no")
    assert "pb" not in q.hash("1")


@pytest.mark.parametrize("left", ["wait", "prioritized", "delayed"])
def test_a_take_wakes_the_next_worker_when_there_is_something_for_it(q: QueueOf, left: str) -> None:
    q.put("1")
    match left:
        case "wait":
            q.put("2")
        case "prioritized":
            q.put("2", priority=3)
        case "delayed":
            q.put_delayed("2", NOW + 60_000)
    q.r.delete(q.keys.marker)
    assert [job.id for job in q.take()] == ["1"]
    assert q.r.zrange(q.keys.marker, 0, -1, withscores=True) == [("0", 0.0)]


@pytest.mark.parametrize("take", [1, 5])
def test_a_take_of_the_last_job_wakes_nobody(q: QueueOf, take: int) -> None:
    q.put("1")
    q.r.delete(q.keys.marker)
    assert [job.id for job in q.turn(take=take).jobs] == ["1"]
    assert not q.r.exists(q.keys.marker)


@pytest.mark.parametrize("waiting", [2, 3])
def test_a_take_of_all_jobs_leaves_no_marker_that_would_wake_a_worker_for_nothing(q: QueueOf, waiting: int) -> None:
    for number in range(waiting):
        q.put(f"j{number}")
    q.r.zadd(q.keys.marker, {"1": NOW + 5})
    assert len(q.take(3)) == waiting
    assert q.r.zrange(q.keys.marker, 0, -1) == (["1"] if waiting < 3 else ["0", "1"])


def test_a_job_that_was_moved_to_wait_as_it_was_keeps_its_delay_and_priority(q: QueueOf) -> None:
    q.put("1", opts='{"attempts":0,"delay":5000,"priority":3}', delay=5000)
    q.r.hset(q.keys.job("1"), "priority", 3)
    q.put("2", opts='{"attempts":0,"delay":5000}')
    q.put("3", data="x" * 500, opts='{"attempts":0,"priority":0}')
    jobs = q.take(3)
    assert [(job.id, job.delay_ms, job.priority) for job in jobs] == [("1", 5000, 3), ("2", 0, 0), ("3", 0, 0)]
    assert (jobs[2].data, jobs[2].opts, jobs[2].timestamp) == (b"x" * 500, b'{"attempts":0,"priority":0}', NOW)


@pytest.mark.parametrize("missing", ["name", "data", "opts", "timestamp"])
def test_a_job_without_one_of_its_fields_is_taken_all_the_same(q: QueueOf, missing: str) -> None:
    q.put("1", rjk="s")
    q.r.hdel(q.keys.job("1"), missing)
    (job,) = q.take()
    assert (job.name, job.data, job.scheduler_id) == (
        None if missing == "name" else "n",
        None if missing == "data" else b"{}",
        "s",
    )


def test_a_turn_sent_ahead_of_its_time_goes_by_the_clock_of_redis(q: QueueOf) -> None:
    q.put_delayed("due", NOW + 50)
    seconds, micros = q.r.time()
    ahead_ms = NOW + 60 - (seconds * 1000 + micros // 1000)
    assert q.turn(now=NOW, take=1).jobs == []
    (job,) = q.turn(now=NOW, take=1, clock_ms=ahead_ms).jobs
    assert NOW + 60 <= int(q.hash(job.id)["processedOn"]) < NOW + 10_000


@pytest.mark.parametrize("ahead_by", [0, 20_000])
def test_a_turn_sent_ahead_that_finds_a_job_goes_by_the_time_of_redis(q: QueueOf, ahead_by: int) -> None:
    q.put("1")
    seconds, micros = q.r.time()
    now = seconds * 1000 + micros // 1000
    (job,) = q.turn(now=now - 30_000, take=2, clock_ms=ahead_by).jobs
    assert now + ahead_by - 5 <= int(q.hash(job.id)["processedOn"]) < now + ahead_by + 20_000


@pytest.mark.parametrize("off_ms", [0, 3_600_000, -3_600_000])
@pytest.mark.parametrize("newest_event", ["*", "{future}-0", "5-0"])
def test_locks_of_many_jobs_live_as_long_as_one_does_whatever_time_clock_and_stream_tell(
    q: QueueOf, off_ms: int, newest_event: str
) -> None:
    for number in range(9):
        q.put(f"j{number}")
    seconds, micros = q.r.time()
    now = seconds * 1000 + micros // 1000
    q.r.xadd(q.keys.events, {"event": "cleaned"}, id=newest_event.format(future=now + 600_000))
    jobs = q.take(9, now=now + off_ms)
    lives = [q.r.pttl(q.keys.lock(job.id)) for job in jobs]
    assert len(lives) == 9
    assert LOCK_MS - 10_000 < min(lives) <= max(lives) <= LOCK_MS + 100


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000])
def test_a_turn_sent_ahead_goes_by_its_own_time_when_the_clock_of_redis_was_set_meanwhile(
    q: QueueOf, step_ms: int
) -> None:
    q.put_delayed("in half an hour", NOW + 1_800_000)
    q.put("1")
    seconds, micros = q.r.time()
    ahead_ms = NOW + step_ms - (seconds * 1000 + micros // 1000)
    (job,) = q.turn(now=NOW, take=2, clock_ms=ahead_ms).jobs
    assert (job.id, q.hash("1")["processedOn"]) == ("1", str(NOW))


@pytest.mark.parametrize("paused", [False, True])
def test_due_jobs_are_promoted_in_order_even_while_paused(q: QueueOf, paused: bool) -> None:
    q.put_delayed("late", NOW + 1)
    q.put_delayed("b", NOW, step=4095)
    q.put_delayed("a", NOW)
    q.put_delayed("p", NOW - 1, priority=3)
    if paused:
        q.r.hset(q.keys.meta, "paused", "1")
    reply = q.turn(take=9)
    assert [job.id for job in reply.jobs] == ([] if paused else ["a", "b", "p"])
    assert reply.blocked is paused
    assert reply.next_due_ms == NOW + 1
    assert q.events()[:3] == [f"waiting {job_id} prev=delayed" for job_id in ("p", "a", "b")]
    assert q.hash("a")["delay"] == "0"
    assert q.r.zrange(q.keys.delayed, 0, -1) == ["late"]
    assert q.r.exists(q.keys.marker) == (not paused)


@pytest.mark.parametrize(
    ("settings", "active", "marker"),
    [
        ({}, 1, False),
        ({"concurrency": "1"}, 1, True),
        ({"concurrency": "1"}, 2, False),
        ({"concurrency": "1", "paused": "1"}, 1, False),
    ],
    ids=["unlimited", "room", "no room", "paused"],
)
def test_results_without_a_take_wake_somebody_where_adds_have_left_no_marker(
    q: QueueOf, settings: dict[str, str], active: int, marker: bool
) -> None:
    for number in range(active):
        q.put(f"j{number}")
    job = q.take(active)[0]
    q.put("waits")
    q.r.delete(q.keys.marker)
    if settings:
        q.r.hset(q.keys.meta, mapping=settings)
    assert q.turn(done(job)).codes == [0]
    assert bool(q.r.exists(q.keys.marker)) is marker


def test_global_concurrency_bounds_what_a_turn_takes(q: QueueOf) -> None:
    q.r.hset(q.keys.meta, "concurrency", "3")
    for number in range(5):
        q.put(f"j{number}")
    first = q.turn(take=2)
    second = q.turn(take=5)
    assert (len(first.jobs), first.blocked) == (2, False)
    assert (len(second.jobs), second.blocked) == (1, True)
    assert q.turn(take=5).blocked


def test_the_limiter_counts_each_job_but_not_those_that_only_fail(q: QueueOf) -> None:
    for number in range(6):
        q.put(f"j{number}", **({"defa": "x"} if number in (0, 1) else {}))
    reply = q.turn(take=6, limiter=Limiter(2, 60_000))
    assert [job.id for job in reply.jobs] == ["j0", "j1", "j2", "j3"]
    assert 0 < (reply.limited_ms or 0) <= 60_000
    assert q.r.get(q.keys.limiter) == "2"
    assert 0 < q.r.pttl(q.keys.limiter) <= 60_000
    assert q.turn(take=1, limiter=Limiter(2, 60_000)).jobs == []
    assert q.r.get(q.keys.limiter) == "2"


def test_the_max_in_meta_wins_and_the_workers_duration_wins(q: QueueOf) -> None:
    q.r.hset(q.keys.meta, mapping={"max": "1", "duration": "50000"})
    q.put("1")
    q.put("2")
    assert q.ids(2, limiter=Limiter(10, 3_000)) == ["1"]
    assert 0 < q.r.pttl(q.keys.limiter) <= 3_000


def test_a_limit_set_by_hand_is_honoured_without_any_limiter(q: QueueOf) -> None:
    q.put("1")
    q.r.set(q.keys.limiter, str(MANUAL), px=40_000)
    reply = q.turn(take=1)
    assert reply.jobs == []
    assert 0 < (reply.limited_ms or 0) <= 40_000


def test_a_window_without_an_end_limits_nobody(q: QueueOf) -> None:
    q.put("1")
    q.r.set(q.keys.limiter, "7")
    assert q.ids(limiter=Limiter(2, 1_000)) == ["1"]


def test_a_take_in_the_last_millisecond_of_a_window_begins_the_next(q: QueueOf) -> None:
    most = 3
    for number in range(60 * (most + 1)):
        q.put(str(number))
    for _ in range(40):
        q.r.set(q.keys.limiter, str(most), px=2)
        reply = q.turn(take=most + 1, limiter=Limiter(most, 60_000))
        while not reply.jobs:
            reply = q.turn(take=most + 1, limiter=Limiter(most, 60_000))
        assert (len(reply.jobs), q.r.get(q.keys.limiter)) == (most, str(most))
        assert q.r.pttl(q.keys.limiter) > 1_000


def test_markers_of_old_versions_in_wait_are_no_jobs(q: QueueOf) -> None:
    q.put("1")
    q.r.rpush(q.keys.wait, "0:1795486443")
    assert q.ids(2) == ["1"]
    assert q.wait() == []


def test_an_id_without_a_hash_is_taken_without_a_name(q: QueueOf) -> None:
    q.r.lpush(q.keys.wait, "ghost")
    (job,) = q.take()
    assert (job.name, job.data, job.timestamp, job.attempts_started) == (None, None, 0, 1)


def test_broken_numbers_and_text_in_a_hash_do_not_hurt_the_batch(q: QueueOf) -> None:
    q.put("1", timestamp="soon", delay="x", atm="")
    q.r.hset(q.keys.job("1"), mapping={"name": b"\xff\xfe", "priority": "1.5"})
    q.put("2")
    first, second = q.take(2)
    assert (first.timestamp, first.delay_ms, first.priority, first.attempts_made) == (0, 0, 1, 0)
    assert first.name == "\ufffd\ufffd"
    assert second.name == "n"


@pytest.mark.parametrize("score", ["-inf", "-1e300", "-5", "0", "0.5"])
def test_a_score_below_all_times_holds_up_no_delayed_job(q: QueueOf, score: str) -> None:
    q.put("old")
    q.r.delete(q.keys.wait)
    q.r.zadd(q.keys.delayed, {"old": score})
    q.put_delayed("due", NOW)
    assert q.ids(2) == ["old", "due"]
    q.put_delayed("later", NOW + 5_000)
    q.r.zadd(q.keys.delayed, {"never": "inf"})
    assert q.turn(take=1).next_due_ms == NOW + 5_000
    q.r.zrem(q.keys.delayed, "never")
    q.assert_sound()


@pytest.mark.parametrize("ats", ["-5", "inf", "-inf", "nan", "1e300", "9" * 400, "x", ""])
def test_a_count_of_starts_that_is_none_begins_anew(q: QueueOf, ats: str) -> None:
    q.put("1", ats=ats)
    (job,) = q.take()
    assert (job.token, job.attempts_started, q.hash("1")["ats"]) == (f"{PREFIX}1", 1, "1")


@pytest.mark.parametrize("number", ["9" * 400, "1e999", "-1e300", "nan", "9" * 5_000])
def test_numbers_that_nothing_holds_are_none(q: QueueOf, number: str) -> None:
    q.put("1", timestamp=number, delay=number, atm=number, stc=number)
    q.r.hset(q.keys.job("1"), "priority", number)
    (job,) = q.take()
    assert (job.timestamp, job.delay_ms, job.priority, job.attempts_made, job.crashes) == (0, 0, 0, 0, 0)


def test_a_busy_worker_passes_over_suspects_without_a_trace(q: QueueOf) -> None:
    q.put("s1", sus="1")
    q.put("s2", sus="1")
    q.put("a")
    q.put("p", priority=5, sus="1")
    before = q.tables()
    reply = q.turn(take=2, busy=1)
    assert ([job.id for job in reply.jobs], reply.suspects_skipped) == (["a"], True)
    assert q.wait() == ["s1", "s2"]
    assert set(q.changed_since(before)) == {"wait", "active", "a", "a:lock", "events"}


def test_an_idle_worker_takes_the_first_suspect_alone(q: QueueOf) -> None:
    for job_id, suspect in (("s1", True), ("a", False), ("s2", True)):
        q.put(job_id, **({"sus": "1"} if suspect else {}))
    (job,) = q.take(3)
    assert (job.id, job.suspect) == ("s1", True)
    assert q.wait() == ["a", "s2"]


def test_suspects_behind_others_are_passed_over(q: QueueOf) -> None:
    for job_id, suspect in (("a", False), ("s", True), ("b", False)):
        q.put(job_id, **({"sus": "1"} if suspect else {}))
    reply = q.turn(take=3)
    assert ([job.id for job in reply.jobs], reply.suspects_skipped) == (["a", "b"], True)
    assert q.wait() == ["s"]


def test_at_most_a_hundred_suspects_are_looked_past(q: QueueOf) -> None:
    for number in range(150):
        q.put(f"s{number}", sus="1")
    q.put("a")
    order = q.wait()
    assert q.ids(1, busy=1) == []
    assert q.wait() == order
    assert q.r.llen(q.keys.active) == 0


def test_a_turn_that_takes_nothing_promotes_nothing(q: QueueOf) -> None:
    q.put_delayed("1", NOW - 1)
    before = q.tables()
    assert q.turn().jobs == []
    assert q.changed_since(before) == {}


def test_counters_that_are_no_numbers_lose_no_job(q: QueueOf) -> None:
    q.put("1", ats="x", atm="y", stc="z")
    q.r.set(q.keys.limiter, "junk")
    (job,) = q.take(limiter=Limiter(5, 1_000))
    assert job.token == f"{PREFIX}1"
    q.turn(Finish(job.id, job.token, Outcome.COMPLETED))
    assert q.hash("1")["atm"] == "1"
    assert q.r.zrange(q.keys.completed, 0, -1) == ["1"]


@pytest.mark.parametrize(
    "settings",
    [
        {"opts.maxLenEvents": "junk"},
        {"opts.maxLenEvents": ""},
        {"opts.maxLenEvents": "-1"},
        {"opts.maxLenEvents": "9" * 20},
        {"concurrency": "junk"},
        {"concurrency": "1.5"},
        {"max": "0.5", "duration": "10"},
        {"max": "5", "duration": "1.5"},
        {"max": "5", "duration": "junk"},
        {"max": "1e400", "duration": "1e400"},
    ],
)
def test_settings_that_are_no_numbers_hold_no_job_up(q: QueueOf, settings: dict[str, str]) -> None:
    q.put("1")
    q.r.hset(q.keys.meta, mapping=settings)
    (job,) = q.take()
    assert q.turn(done(job)).codes == [0]


def test_an_id_whose_key_is_no_hash_does_not_hold_the_queue_up(q: QueueOf) -> None:
    q.put("1")
    q.r.set(q.keys.job("odd"), "text")
    q.r.rpush(q.keys.wait, "odd")
    assert q.ids(2) == ["1"]
    q.r.delete(q.keys.job("odd"))


@pytest.mark.parametrize("settings", [{"paused": "1"}, {"concurrency": "1"}], ids=["paused", "maxed"])
def test_a_blocked_queue_says_when_the_next_job_is_due(q: QueueOf, settings: dict[str, str]) -> None:
    """Else it would be promoted at the next poll, up to 5 s late."""
    q.put("running")
    q.take()
    q.r.hset(q.keys.meta, mapping=settings)
    q.put_delayed("late", NOW + 500, step=3)
    reply = q.turn(take=1)
    assert (reply.blocked, reply.next_due_ms) == (True, NOW + 500)
    reply = q.turn(take=1, now=NOW + 500)
    assert (reply.blocked, reply.next_due_ms) == (True, None)
    assert q.events()[-1] == "waiting late prev=delayed"
