"""The sync client: adds, waits, threads, forks, a Redis that does not answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.client import Backoff, JobHandle, Queue
from jobd.engine.adding import BATCH
from jobd.engine.states import State
from jobd.errors import InputError, JobdError, JobFailed, NotThere, RedisRefused, RedisUnavailable
from tests.support.cutting_proxy import CuttingProxy
from tests.support.finishing import finish
from tests.support.redis_server import RedisServer
from tests.support.snapshot import snapshot
from tests.support.waiting import wait_until


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("email", url=redis_server.url, prefix=prefix) as queue:
        yield queue


def in_thread(act: Any) -> tuple[threading.Thread, list[Any]]:
    """Run `act` in a thread; its value or its exception comes into the list."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(act())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def is_watched(queue: Queue) -> bool:
    return any(thread.name == f"jobd events {queue.name}" for thread in threading.enumerate())


def test_an_added_job_is_there(queue: Queue) -> None:
    job = queue.add("welcome", {"userId": 7}, attempts=3, backoff=Backoff.exponential("5s"))
    found = queue.get(job.id)
    assert found is not None
    assert (found.name, found.data, found.state) == ("welcome", {"userId": 7}, State.WAITING)
    assert found.opts == {"attempts": 3, "backoff": {"type": "exponential", "delay": 5000}}
    assert abs(found.timestamp - time.time() * 1000) < 60_000
    assert queue.counts()["waiting"] == 1
    assert queue.get("none") is None


def test_the_same_id_twice_is_a_duplicate(queue: Queue) -> None:
    assert [queue.add("n", job_id="x").duplicate for _ in range(2)] == [False, True]


@pytest.mark.parametrize("count", [0, 1, BATCH, 2 * BATCH + 1])
def test_many_jobs_arrive_in_order(queue: Queue, count: int) -> None:
    jobs = queue.add_many([("welcome", {"userId": n}) for n in range(count)])
    assert [job.id for job in jobs] == [str(n + 1) for n in range(count)]
    assert queue.counts()["waiting"] == count
    if count:
        last = queue.get(jobs[-1].id)
        assert last is not None
        assert last.data == {"userId": count - 1}


def test_many_jobs_may_have_options_each(queue: Queue) -> None:
    queue.add_many(iter([("a", {}), ("b", {}, {"priority": 5}), ("c", {}, {"delay": "10s"}), ("d",)]))
    counts = queue.counts()
    assert (counts["waiting"], counts["prioritized"], counts["delayed"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (("a", {"x": {1}}), r"job 1 of add_many: .*data\.x is a set"),
        (("a", {}, {"priority": -1}), "job 1 of add_many: priority"),
        ("ab", "expected .name, data"),
        (("a", {}, 5), "dict of options"),
    ],
)
def test_one_bad_job_of_many_and_none_is_written(
    queue: Queue, r: redis.Redis, prefix: str, bad: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        queue.add_many([("good", {}), bad])
    assert snapshot(r, f"{prefix}:email:") == {}


@pytest.mark.parametrize("options", [{"priority": -1}, {"job_id": "7"}, {"atempts": 1}])
def test_bad_input_writes_nothing(queue: Queue, r: redis.Redis, prefix: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        queue.add("n", {}, **options)
    assert snapshot(r, f"{prefix}:email:") == {}


class TestWait:
    def test_the_result_of_a_job_that_finishes_meanwhile(self, queue: Queue, r: redis.Redis) -> None:
        job = queue.add("n")
        thread, came = in_thread(lambda: job.wait(timeout=20))
        wait_until(lambda: is_watched(queue))
        finish(r, queue.keys, job.id, result='{"sent":7}')
        thread.join(5)
        assert came == [{"sent": 7}]

    def test_the_reason_of_a_job_that_fails(self, queue: Queue, r: redis.Redis) -> None:
        job = queue.add("n")
        finish(r, queue.keys, job.id, reason="no such user")
        with pytest.raises(JobFailed) as caught:
            job.wait(timeout=20)
        assert (caught.value.reason, caught.value.job_id) == ("no such user", job.id)

    @pytest.mark.parametrize("before", [True, False])
    def test_a_job_that_is_not_kept_still_gives_its_result(self, queue: Queue, r: redis.Redis, before: bool) -> None:
        job = queue.add("n")
        if before:
            finish(r, queue.keys, job.id, result="[1]", keep=False)
            assert job.wait(timeout=20) == [1]
            return
        thread, came = in_thread(lambda: job.wait(timeout=20))
        wait_until(lambda: is_watched(queue))
        finish(r, queue.keys, job.id, result="[1]", keep=False)
        thread.join(5)
        assert came == [[1]]

    def test_the_result_is_found_behind_many_events(self, queue: Queue, r: redis.Redis) -> None:
        job = queue.add("n")
        queue.add_many([("n", {})] * 700)
        finish(r, queue.keys, job.id, result="1", keep=False)
        assert job.wait(timeout=20) == 1

    def test_it_ends_on_time(self, queue: Queue) -> None:
        job = queue.add("n")
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"0\.3s"):
            job.wait(timeout=0.3)
        assert 0.25 < time.monotonic() - start < 2
        with pytest.raises(TimeoutError):
            job.wait(timeout=0)

    def test_a_removed_job_ends_it(self, queue: Queue, r: redis.Redis) -> None:
        job = queue.add("n")
        thread, came = in_thread(lambda: job.wait(timeout=20))
        wait_until(lambda: is_watched(queue))
        r.delete(queue.keys.job(job.id))
        r.xadd(queue.keys.events, {"event": "removed", "jobId": job.id, "prev": "wait"})
        thread.join(5)
        assert isinstance(came[0], NotThere)

    def test_many_threads_share_one_reader(self, queue: Queue, r: redis.Redis) -> None:
        jobs = queue.add_many([("n", {})] * 30)
        waits = [in_thread(lambda job=job: job.wait(timeout=20)) for job in jobs]
        wait_until(lambda: is_watched(queue))
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("jobd events email") == 1
        for number, job in enumerate(jobs):
            finish(r, queue.keys, job.id, result=str(number), keep=number % 2 == 0)
        for number, (thread, came) in enumerate(waits):
            thread.join(10)
            assert came == [number]

    def test_closing_ends_it(self, queue: Queue) -> None:
        job = queue.add("n")
        thread, came = in_thread(lambda: job.wait())
        wait_until(lambda: is_watched(queue))
        queue.close()
        thread.join(5)
        assert isinstance(came[0], JobdError)
        assert not is_watched(queue)


def test_threads_may_share_a_queue(queue: Queue) -> None:
    threads = [in_thread(lambda: [queue.add("n") for _ in range(50)]) for _ in range(8)]
    handles: list[JobHandle] = []
    for thread, came in threads:
        thread.join(30)
        handles += came[0]
    assert len({job.id for job in handles}) == 400
    assert queue.counts()["waiting"] == 400


def test_more_threads_than_connections_wait_for_a_free_one(queue: Queue) -> None:
    # A URL of its own with a small pool: the default's fifty threads and more would only take longer.
    few = Queue(queue.name, url=queue.source.url + "?max_connections=2", prefix=queue.source.prefix)
    with ThreadPoolExecutor(20) as pool:
        ids = set(pool.map(lambda number: few.add("n", number).id, range(100)))
    few.close()
    assert len(ids) == queue.counts()["waiting"] == 100


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of xdist
def test_a_forked_child_uses_connections_of_its_own(queue: Queue, r: redis.Redis) -> None:
    first = queue.add("parent")
    in_thread(lambda: first.wait(timeout=0.01))[0].join(5)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            job = queue.add("child")
            finish(r, queue.keys, job.id, result="5")
            code = 0 if job.wait(timeout=10) == 5 and queue.counts()["completed"] == 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert queue.add("parent").id == "3"


def test_an_add_that_is_not_answered_says_so_and_is_not_repeated(own_redis: RedisServer) -> None:
    with Queue("email", url=own_redis.tcp_url, answer_limit=0.5) as queue:
        queue.add("n")
        own_redis.signal(signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(RedisUnavailable, match="unknown whether added; a job_id makes it safe to repeat"):
            queue.add("n")
        assert time.monotonic() - start < 3
        with pytest.raises(RedisUnavailable, match="0 of 3 are in"):
            queue.add_many([("n", {})] * 3)
        own_redis.signal(signal.SIGCONT)
        wait_until(lambda: queue.counts()["waiting"] >= 1)
        # What was on its way is done once by the server; nothing came a second time.
        assert queue.counts()["waiting"] <= 5


def test_the_limit_of_an_answer_is_five_seconds(queue: Queue) -> None:
    assert queue.answer_limit_s == 5


def test_no_redis_is_told_at_once_and_found_again(own_redis: RedisServer) -> None:
    with Queue("email", url=own_redis.url) as queue:
        queue.add("n")
        own_redis.kill()
        with pytest.raises(RedisUnavailable):
            queue.add("n")
        own_redis.start()
        assert queue.add("n").id == "2"


def test_redis_going_away_ends_a_wait(own_redis: RedisServer) -> None:
    with Queue("email", url=own_redis.url) as queue:
        job = queue.add("n")
        thread, came = in_thread(lambda: job.wait(timeout=20))
        wait_until(lambda: is_watched(queue))
        own_redis.kill()
        thread.join(5)
        assert isinstance(came[0], RedisUnavailable)


def test_a_full_redis_refuses(own_redis: RedisServer) -> None:
    with Queue("email", url=own_redis.url) as queue, own_redis.client() as r:
        queue.add("n")
        r.config_set("maxmemory", "1")
        with pytest.raises(RedisRefused, match="maxmemory"):
            queue.add("n")
        r.config_set("maxmemory", "0")
        assert queue.counts()["waiting"] == 1


def test_a_refusal_in_the_middle_of_many_leaves_the_queue_object_usable(
    queue: Queue, r: redis.Redis, prefix: str
) -> None:
    r.set(queue.keys.wait, "not a list")
    with pytest.raises(RedisRefused, match="wrong kind of value"):
        queue.add_many([("n", {})] * (3 * BATCH))
    r.delete(queue.keys.wait)
    assert queue.counts()["waiting"] == 0
    assert len(queue.add_many([("n", {})] * (3 * BATCH))) == 3 * BATCH
    assert queue.counts()["waiting"] == 3 * BATCH


@pytest.mark.parametrize("name", ["", "a:b"])
def test_a_bad_queue_name_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        Queue(name, url="redis://127.0.0.1:1")


def test_the_file_and_the_environment_say_which_redis(
    redis_server: RedisServer, prefix: str, short_tmp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = short_tmp / "jobd.toml"
    file.write_text(f'[redis]\nurl = "{redis_server.url}"\nprefix = "{prefix}"\nnonsense = 1\n')
    with Queue("email", config=file) as queue:
        assert queue.add("n").id == "1"
    monkeypatch.setenv("JOBD_REDIS_URL", redis_server.url)
    with Queue("email", prefix=prefix) as queue:
        assert queue.add("n").id == "2"


def test_close_twice_is_harmless(queue: Queue) -> None:
    queue.close()
    queue.close()


def test_without_a_connection_an_add_says_that_nothing_was_added(own_redis: RedisServer, prefix: str) -> None:
    with Queue("mail", url=own_redis.url, prefix=prefix) as queue, Queue("mail", url=own_redis.url) as used:
        used.add("welcome")
        own_redis.kill()
        for one in (queue, used):
            for add in (lambda one=one: one.add("welcome"), lambda one=one: one.add_many([("welcome",)])):
                with pytest.raises(RedisUnavailable, match=r"^not added.*: Redis did not answer: ") as told:
                    add()
                assert not told.value.may_have_run


def test_a_lost_answer_to_an_add_leaves_it_unknown(own_redis: RedisServer, short_tmp: Path, prefix: str) -> None:
    with CuttingProxy(short_tmp, own_redis.socket) as proxy, Queue("mail", url=proxy.url, prefix=prefix) as queue:
        queue.add("welcome")
        proxy.cut_next(lambda chunk: b"EVALSHA" in chunk)
        with pytest.raises(RedisUnavailable, match=r"^unknown whether added") as told:
            queue.add("welcome")
        assert told.value.may_have_run
