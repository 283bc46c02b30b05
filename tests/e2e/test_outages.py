"""What a daemon does, and says, while Redis refuses, moves or forgets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.daemon_process import alive
from tests.support.moving_proxy import MovingProxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

OK = '[queues.a]\nhandler = "daemon_handlers:ok"\nlock_duration = "1s"\n'


@pytest.fixture
def server(short_tmp: Path):
    with_one = RedisServer(short_tmp / "own", tcp=True).start()
    yield with_one
    with_one.stop()


def test_a_running_jobs_lock_is_renewed_at_the_new_primary_after_a_failover(make, jobs, server, short_tmp, prefix):
    second = RedisServer(short_tmp / "second", tcp=True).start()
    try:
        with MovingProxy(server.port) as proxy, server.client() as old, second.client() as new:
            new.replicaof("127.0.0.1", server.port)
            wait_until(lambda: new.info("replication")["master_link_status"] == "up", 30)
            daemon = make(OK.replace(":ok", ":slow"), url=proxy.url)
            until = short_tmp / "until"
            job = jobs("a", server).add({"until": str(until)})
            lock = f"{prefix}:a:{job}:lock"
            wait_until(lambda: new.exists(lock))
            new.replicaof("NO", "ONE")
            proxy.target = second.port
            old.replicaof("127.0.0.1", second.port)
            since = time.monotonic()

            def kept_for_three_lifetimes() -> bool:
                assert new.exists(lock), daemon.log_tail()
                return time.monotonic() - since > 3

            wait_until(kept_for_three_lifetimes, 10)
            until.touch()
            moved = jobs("a", second)
            assert moved.result(job) == "slow"
            assert moved.hash(job)["ats"] == "1"
            wait_until(lambda: daemon.status()["state"] == "ready")
    finally:
        second.stop()


def test_a_result_that_waits_for_redis_outlives_the_grace_of_its_replaced_worker(make, jobs, short_tmp):
    """The worker was ended with the result in hand, and the job ran a second time."""
    server = RedisServer(short_tmp / "durable", durable=True).start()
    try:
        daemon = make(OK.replace(":ok", ":slow").replace("1s", "30s"), url=server.url, ready=False)
        daemon.config.write_text(daemon.config.read_text().replace('grace = "5s"', 'grace = "500ms"'))
        daemon.start_ready()
        mark, until, a = short_tmp / "mark", short_tmp / "until", jobs("a", server)
        job = a.add({"mark": str(mark), "until": str(until)})
        wait_until(lambda: mark.exists() and "start" in mark.read_text())
        (old,) = daemon.worker_pids("a")
        server.kill()
        wait_until(lambda: old in {line["pid"] for line in daemon.logged("worker lost Redis")}, 20)
        daemon.call("worker.restart", pid=old)
        until.touch()
        since = time.monotonic()
        wait_until(lambda: time.monotonic() - since > 2 or not alive(old), 10)
        server.start()
        assert a.result(job) == "slow"
        assert (a.hash(job)["ats"], mark.read_text().count("start")) == ("1", 1)
        wait_until(lambda: not alive(old), 10, what="with Redis back it ends")
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("setting", "bad", "good", "word"),
    [("maxmemory", "1", "0", "memory full"), ("min-replicas-to-write", "1", "0", "too few replicas")],
)
def test_status_says_what_redis_refuses_though_nothing_runs(make, server, setting, bad, good, word):
    daemon = make(OK, url=server.url)
    with server.client() as r:
        r.config_set(setting, bad)
        wait_until(lambda: f"redis: {word}" in daemon.status()["degraded_by"], 15)
        assert daemon.call("health", kind="ready")["ready"] is False
        r.config_set(setting, good)
        wait_until(lambda: daemon.status()["state"] == "ready", 15)


def test_a_full_redis_lets_running_jobs_write_and_finish_takes_nothing_new_and_is_mended_by_keep(
    make, jobs, server, short_tmp, prefix
):
    queue = '[queues.a]\nhandler = "daemon_handlers:reports_when"\nlock_duration = "1s"\nconcurrency = 2\n'
    daemon = make(queue, url=server.url)
    until = short_tmp / "until"
    until.touch()
    many = jobs("a", server)
    history = [many.add({"until": str(until), "padding": "x" * 200_000}) for _ in range(60)]
    for job in history:
        many.wait_state(job, "completed")
    until.unlink()
    running = many.add({"until": str(until)})
    many.wait_state(running, "active")
    with server.client() as r:
        used = r.info("memory")["used_memory"]
        r.config_set("maxmemory", used - 3_000_000)
        wait_until(lambda: "redis: memory full" in daemon.status()["degraded_by"], 15)
        wait_until(lambda: daemon.worker_pids("a", "quiet"), 15)
        r.config_set("maxmemory", 0)
        waiting = many.add({"until": str(until)})
        r.config_set("maxmemory", used - 3_000_000)
        held_until = time.monotonic() + 3
        wait_until(lambda: time.monotonic() > held_until and r.exists(f"{prefix}:a:{running}:lock"), 10)
        until.touch()
        assert many.wait_state(running, "completed")["progress"] == "50"
        assert daemon.queue("a")["why"] == "redis_down"
        assert many.state(waiting) == "waiting"
        daemon.reload(queue + "keep_completed = 10\n")
        assert many.wait_state(waiting, "completed", 20)["progress"] == "50"
        wait_until(lambda: daemon.status()["state"] == "ready", 15)
        assert len(many.ids("completed")) <= 11


def test_a_global_concurrency_that_flushall_removed_is_written_again(make, server, prefix):
    make(OK + "global_concurrency = 3\n", url=server.url)
    with server.client() as r:
        wait_until(lambda: r.hget(f"{prefix}:a:meta", "concurrency") == "3")
        r.flushall()
        wait_until(lambda: r.hget(f"{prefix}:a:meta", "concurrency") == "3")
