"""A worker and a Redis that goes away, stops, restarts or loses replies."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from jobd.client import Queue
from jobd.protocol import worker as messages
from tests.support.cutting_proxy import CuttingProxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, numbers, renewing


def completed(client: redis.Redis) -> int:
    try:
        return int(client.zcard("bull:mail:completed"))
    except redis.RedisError:
        return -1


def test_result_in_hand_while_redis_was_away_is_delivered(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    queue.add("a", {"file": str(marks), "seconds": 0.5})
    worker = parent.start("mail", numbers("rough:mark_slowly"))
    wait_until(marks.exists)
    own_redis.kill()
    assert worker.expect(messages.RedisState).up is False
    own_redis.start()
    back = time.monotonic()
    wait_until(lambda: completed(client) == 1, 10)
    assert time.monotonic() - back < 2
    assert worker.expect(messages.RedisState).up is True
    assert marks.read_text() == "1\n"


def test_consumption_resumes_within_two_seconds_of_the_return(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    own_redis.kill()
    worker.expect(messages.RedisState)
    own_redis.start()
    queue.add("a", {})
    back = time.monotonic()
    wait_until(lambda: completed(client) == 1, 10)
    assert time.monotonic() - back < 2


def test_worker_started_without_redis_is_ready_and_works_once_it_is_there(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    queue.add("a", {})
    own_redis.kill()
    worker = parent.fork()
    worker.send(parent.start_message(worker, "mail", numbers("basic:echo")))
    assert worker.expect(messages.Ready).redis_up is False
    worker.send(messages.Resume())
    own_redis.start()
    wait_until(lambda: completed(client) == 1, 10)


def test_stopped_redis_does_not_hang_the_worker(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    added = [queue.add("a", {"file": str(marks), "seconds": 0.3}) for _ in range(4)]
    worker = parent.start("mail", numbers("rough:mark_slowly", concurrency=2))
    wait_until(marks.exists)
    own_redis.signal(signal.SIGSTOP)
    assert worker.expect(messages.RedisState, 15).up is False
    own_redis.signal(signal.SIGCONT)
    began = time.monotonic()
    wait_until(lambda: completed(client) == len(added), 10)
    assert time.monotonic() - began < 3
    assert sorted(marks.read_text().split()) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("command", [messages.Drain(), messages.Stop()])
def test_worker_with_nothing_in_hand_ends_without_redis(
    own_redis: RedisServer, parent: WorkerParent, command: messages.Message
) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    own_redis.kill()
    worker.expect(messages.RedisState)
    worker.send(command)
    worker.wait_gone(2)
    assert parent.exited().status == 0


def test_worker_is_quiet_at_once_without_redis(own_redis: RedisServer, parent: WorkerParent) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    own_redis.kill()
    worker.expect(messages.RedisState)
    worker.send(messages.Quiet())
    worker.expect(messages.Quieted, 2)


def test_worker_that_was_rate_limited_is_idle_afterwards(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    queue.add("a", {"limit": "50ms"}, attempts=1)
    queue.add("b", {})
    parent.start("mail", numbers("basic:slow_down"))
    wait_until(lambda: completed(client) == 2)
    assert client.hget("bull:mail:1", "ats") == "2"
    # Whether it keeps asking shows only over a span of time.
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    time.sleep(0.5)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - before < 30


def test_scripts_flushed_from_redis_are_loaded_again(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    parent.start("mail", numbers("basic:echo"))
    client.script_flush()
    queue.add("a", {})
    wait_until(lambda: completed(client) == 1)


@pytest.mark.parametrize("when", ["take", "finish"])
def test_lost_reply_of_a_turn_loses_nothing_and_runs_nothing_twice(
    own_redis: RedisServer, short_tmp: Path, queue: Queue, client: redis.Redis, tmp_path: Path, when: str
) -> None:
    marks = tmp_path / "marks"
    with CuttingProxy(short_tmp, own_redis.socket) as proxy, WorkerParent(proxy.url, "bull") as parent:
        worker = parent.start("mail", numbers("rough:mark", concurrency=3))
        wait_until(lambda: worker.board.fetched_at > 0)
        for round_number in range(5):
            wanted = b"testinc" if when == "take" else b'"marked"'
            proxy.cut_next(lambda request, wanted=wanted: b"EVALSHA" in request and wanted in request)
            queue.add_many([("a", {"file": str(marks)})] * 10)
            wait_until(lambda want=(round_number + 1) * 10: completed(client) == want, 15)
        assert proxy.cuts >= 5
    assert sorted(map(int, marks.read_text().split())) == list(range(1, 51))
    assert client.llen("bull:mail:active") == 0
    assert not list(client.scan_iter("bull:mail:*:lock"))


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda a, b: 0, id="both lost"),
        pytest.param(lambda a, b: 1, id="one byte of the first"),
        pytest.param(lambda a, b: a - 1, id="all but one byte of the first"),
        pytest.param(lambda a, b: a, id="between the two"),
        pytest.param(lambda a, b: a + 1, id="one byte of the second"),
        pytest.param(lambda a, b: a + b - 1, id="all but one byte of the second"),
    ],
)
def test_cut_among_the_replies_of_two_turns_loses_nothing_and_runs_nothing_twice(
    own_redis: RedisServer, short_tmp: Path, queue: Queue, client: redis.Redis, tmp_path: Path,
    kept: Callable[[int, int], int],
) -> None:  # fmt: skip
    marks = tmp_path / "marks"
    with CuttingProxy(short_tmp, own_redis.socket) as proxy, WorkerParent(proxy.url, "bull") as parent:
        worker = parent.start("mail", numbers("rough:mark_slowly", concurrency=40))
        wait_until(lambda: worker.board.fetched_at > 0)
        for round_number in range(2):
            proxy.cut_two(kept)
            queue.add_many([("a", {"file": str(marks)})] * 400)
            wait_until(lambda want=(round_number + 1) * 400: completed(client) == want, 20)
        assert proxy.cuts == 2
    assert sorted(map(int, marks.read_text().split())) == list(range(1, 801))
    assert client.llen("bull:mail:active") == 0
    assert not list(client.scan_iter("bull:mail:*:lock"))
    finished = [fields["jobId"] for _, fields in client.xrange("bull:mail:events") if fields["event"] == "completed"]
    assert sorted(map(int, finished)) == list(range(1, 801))


def test_notes_of_a_lost_reply_are_written_and_log_lines_not_twice(
    own_redis: RedisServer, short_tmp: Path, queue: Queue, client: redis.Redis
) -> None:
    with CuttingProxy(short_tmp, own_redis.socket) as proxy, WorkerParent(proxy.url, "bull") as parent:
        proxy.cut_next(lambda request: b"progress" in request)
        queue.add("a", {})
        parent.start("mail", numbers("basic:talk"))
        wait_until(lambda: completed(client) == 1, 15)
        assert proxy.cuts == 1
    assert json.loads(client.hget("bull:mail:1", "progress") or "") == {"half": True}
    assert client.lrange("bull:mail:1:logs", 0, -1) == ["one", "two"]


def test_finish_after_the_lock_ran_out_is_accepted_when_nobody_took_the_job(
    queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    queue.add("a", {"file": str(tmp_path / "marks"), "seconds": 0.5})
    parent.start("mail", numbers("rough:mark_slowly", lock_ms=100))
    wait_until(lambda: completed(client) == 1)
    assert client.hget("bull:mail:1", "ats") == "1"


def test_finish_of_a_job_another_took_is_refused_and_the_worker_goes_on(
    queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    queue.add("a", {"file": str(tmp_path / "marks"), "seconds": 0.5})
    worker = parent.start("mail", numbers("rough:mark_slowly"))
    wait_until(lambda: client.exists("bull:mail:1:lock"))
    client.set("bull:mail:1:lock", "somebody:else:2")
    queue.add("b", {"file": str(tmp_path / "marks")})
    wait_until(lambda: completed(client) == 1)
    assert client.lrange("bull:mail:active", 0, -1) == ["1"]
    wait_until(lambda: worker.board.slots() == [])


def test_call_that_holds_the_gil_for_five_lock_periods_runs_once(
    queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    queue.add("a", {"file": str(marks), "seconds": 2.5})
    with renewing(client, "bull", "mail", 500):
        for _ in range(2):
            parent.start("mail", numbers("rough:hold_gil", lock_ms=500))
        wait_until(lambda: completed(client) == 1)
    assert marks.read_text() == "1\n"
    assert client.hget("bull:mail:1", "ats") == "1"


def test_idle_worker_starts_a_new_job_at_once_and_a_delayed_one_when_due(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    wait_until(lambda: worker.board.fetched_at > 0)
    queue.add("later", {}, delay=2)
    queue.add("now", {})
    wait_until(lambda: completed(client) == 2)
    due = float(client.hget("bull:mail:1", "timestamp") or 0) + 2000
    later, now = (float(client.hget(f"bull:mail:{number}", "processedOn") or 0) for number in (1, 2))
    # Both woke it: of itself it looks again only after five seconds.
    assert now < due <= later < due + 2000


def test_quiet_worker_leaves_markers_and_jobs_to_others(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    first = parent.start("mail", numbers("basic:echo"))
    wait_until(lambda: first.board.fetched_at > 0)
    first.send(messages.Quiet())
    first.expect(messages.Quieted)
    queue.add("a", {})
    assert client.zcard("bull:mail:marker") == 1
    wait_until(lambda: not [each for each in client.client_list() if ":w:" in each["name"]])
    parent.start("mail", numbers("basic:echo"))
    wait_until(lambda: completed(client) == 1)
    assert first.board.jobs_done == 0
    first.send(messages.Resume())
    queue.add("b", {})
    wait_until(lambda: completed(client) == 2)


def test_busy_worker_does_not_keep_a_marker_from_an_idle_one(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    for _ in range(2):
        parent.start("mail", numbers("basic:wait"))
    for _ in range(2):
        queue.add("a", {"seconds": 60})
    wait_until(lambda: client.llen("bull:mail:active") == 2, what="both run at the same time")


def test_blocking_connection_is_named_as_bullmq_names_it(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    name = f"bull:bWFpbA==:w:testhost:mail:{worker.pid}"
    wait_until(lambda: [each for each in client.client_list() if each["name"] == name])


def test_limiter_is_kept_and_the_rest_follows(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    queue.add_many([("a", {})] * 6)
    before = time.monotonic()
    parent.start("mail", numbers("basic:echo", concurrency=10, limiter_max=2, limiter_duration_ms=300))
    ready = time.monotonic()
    wait_until(lambda: completed(client) == 6)
    # The first window may begin before it is known here that the worker is ready.
    assert time.monotonic() - before > 0.55
    assert time.monotonic() - ready < 2


def test_paused_queue_is_taken_up_again_on_resume(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    client.hset("bull:mail:meta", "paused", "1")
    queue.add("a", {})
    worker = parent.start("mail", numbers("basic:echo"))
    wait_until(lambda: worker.board.fetched_at > 0)
    assert client.llen("bull:mail:wait") == 1
    client.hdel("bull:mail:meta", "paused")
    client.zadd("bull:mail:marker", {"0": 0})
    wait_until(lambda: completed(client) == 1, 2)


def test_suspects_run_one_at_a_time(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    for _ in range(3):
        queue.add("a", {"seconds": 0.2})
    for job_id in (1, 2):
        client.hset(f"bull:mail:{job_id}", "sus", "1")
    worker = parent.start("mail", numbers("basic:wait", concurrency=3))
    most = 0
    while completed(client) < 3:
        most = max(most, worker.board.busy) if completed(client) < 2 else most
    assert most == 1


def test_redis_that_refuses_turns_is_asked_about_once_a_second(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    worker = parent.start("mail", numbers("basic:echo"))
    client.set("bull:mail:wait", "no list")
    client.zadd("bull:mail:marker", {"0": 0})
    assert worker.expect(messages.RedisState).up is False
    before = client.info("stats")["total_connections_received"]
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1.5)
    assert client.info("stats")["total_connections_received"] - before <= 6
    client.delete("bull:mail:wait")
    queue.add("a", {})
    wait_until(lambda: completed(client) == 1)
