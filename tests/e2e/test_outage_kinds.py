"""Redis away in every way it can be: what runs is finished, nothing runs twice, nobody spins, and all say what it is.

CHAOS_SECONDS of 60 or more adds outages of half a minute, of 120 or more those of two minutes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.daemon_process import DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUE = '[queues.a]\nlock_duration = "{}s"\nworkers = 2\nconcurrency = 4\n[queues.a.jobs]\n' + "".join(
    f'{name} = "daemon_handlers:{name}"\n' for name in ("slow", "ok", "async_slow")
)
LONG = [seconds for seconds, least in ((30, 60), (120, 120)) if float(os.environ.get("CHAOS_SECONDS", "0")) >= least]
BACK_S = 2.0
"""Promised from the return of Redis until jobs are taken again."""
BUSY_MACHINE_S = 4.0
"""What a test machine that does other things beside may add to that."""


class Slow(RedisServer):
    """A server that takes its time to load what it has."""

    delay_us = 0

    def more_arguments(self) -> tuple[str, ...]:
        """Return what slows it down."""
        if not self.delay_us:
            return ()
        return ("--key-load-delay", str(self.delay_us), "--loading-process-events-interval-bytes", "1024")

    def answers(self) -> bool:
        """Whether it can be asked: that it loads is an answer, too."""
        try:
            with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except redis.BusyLoadingError:
            return True
        except redis.RedisError:
            return False


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    yield
    server.signal(signal.SIGCONT)


@contextmanager
def read_only(server: RedisServer) -> Iterator[None]:
    with server.client() as r:
        r.replicaof("127.0.0.1", "1")
        yield
        r.replicaof("NO", "ONE")


@contextmanager
def without_replicas(server: RedisServer) -> Iterator[None]:
    """It refuses every write, as it does when its disk is full, and answers all the same."""
    with server.client() as r:
        r.config_set("min-replicas-to-write", 1)
        yield
        r.config_set("min-replicas-to-write", 0)


@contextmanager
def other_password(server: RedisServer) -> Iterator[None]:
    with server.client() as r:
        r.config_set("requirepass", "changed")
        r.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        r.execute_command("AUTH", "changed")
        yield
        r.config_set("requirepass", "")


@contextmanager
def loading(server: RedisServer) -> Iterator[None]:
    """It has restarted, and loads until the block is left."""
    with server.client() as r, r.pipeline(transaction=False) as pipe:
        for number in range(24_000):  # it answers after each 1,024
            pipe.set(f"padding{number}", "x")
        pipe.execute()
    server.kill()
    Slow.delay_us = 250
    try:
        server.start()
        yield
        wait_until(lambda: not _loads(server), 60)
    finally:
        Slow.delay_us = 0


def _loads(server: RedisServer) -> bool:
    with server.client() as r:
        return bool(r.info("persistence")["loading"])


@contextmanager
def harassed(server: RedisServer) -> Iterator[None]:
    """Every connection is killed, and the scripts are forgotten, twenty times a second."""
    over = threading.Event()

    def harass() -> None:
        with server.client() as r:
            while not over.wait(0.05):
                r.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                r.script_flush()

    thread = threading.Thread(target=harass)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def server(short_tmp: Path) -> Iterator[Slow]:
    """A durable Redis of this test alone."""
    one = Slow(short_tmp / "redis", tcp=True, durable=True)
    one.start()
    yield one
    one.stop()


def cpu_s(daemon: DaemonProcess) -> float:
    """Return the processor time of the daemon and everything below it, in seconds."""
    ticks = 0
    for pid in [daemon.pid, *daemon.children()]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(150 + 2 * sum(LONG))
@pytest.mark.parametrize(
    ("outage", "seconds", "lock_s", "word"),
    [
        pytest.param(killed, 1, 5, "redis: down", id="killed for 1 s"),
        pytest.param(killed, 6, 2, "redis: down", id="killed for 6 s, longer than a lock lives"),
        pytest.param(stopped, 6, 2, "redis: down", id="stopped for 6 s"),
        pytest.param(read_only, 3, 5, "redis: read only", id="a replica"),
        pytest.param(without_replicas, 4, 5, "redis: too few replicas", id="refusing writes"),
        pytest.param(other_password, 3, 5, "redis: wrong credentials", id="another password"),
        pytest.param(loading, 3, 30, "redis: loading", id="loading"),
        *(pytest.param(killed, long, 10, "redis: down", id=f"killed for {long} s") for long in LONG),
        *(pytest.param(stopped, long, 10, "redis: down", id=f"stopped for {long} s") for long in LONG),
    ],
)
def test_an_outage_is_named_costs_no_cpu_and_no_job_and_ends_at_once(
    make, jobs, server, short_tmp, outage: Callable[[RedisServer], AbstractContextManager[None]], seconds, lock_s, word
):
    daemon = make(QUEUE.format(lock_s), url=server.url)
    a, until, mark = jobs("a", server), short_tmp / "until", short_tmp / "mark"
    data = {"mark": str(mark), "until": str(until), "s": 120}
    ends_meanwhile = [a.add(data, name="slow") for _ in range(2)]
    goes_on = a.add({"mark": str(mark), "s": seconds + 3}, name="async_slow")
    for job in [*ends_meanwhile, goes_on]:
        a.wait_state(job, "active")
    wait_until(lambda: mark.exists() and mark.read_text().count("start") == 3)

    with outage(server):
        began, used = time.monotonic(), cpu_s(daemon)
        until.touch()
        wait_until(lambda: word in daemon.status()["degraded_by"], 20, what=word)
        if seconds >= 3:
            answers = outage in (read_only, without_replicas)
            wait_until(lambda: daemon.status()["redis"]["up"] is False or answers, 20)
        if outage in (killed, stopped):
            status = daemon.status()
            assert (status["state"], status["queues"][0]["waiting"]) == ("degraded", None)
            assert status["queues"][0]["why"] == "redis_down"
        wait_until(lambda: time.monotonic() - began >= seconds, seconds + 1)
        took, used = time.monotonic() - began, cpu_s(daemon) - used
        # Two workers, a template, the daemon, and our questions, which are part of it.
        assert used < 0.5 + 0.35 * took, f"{used:.1f} s of CPU in {took:.1f} s"
    returned = time.monotonic()
    job = a.add({}, name="ok")
    assert a.result(job, 30) == {"id": job}
    assert time.monotonic() - returned < BACK_S + BUSY_MACHINE_S

    for job in ends_meanwhile:
        assert a.result(job, 20) == "slow"
    assert a.result(goes_on, 30) == "slow"
    runs = mark.read_text().split()
    for job in [*ends_meanwhile, goes_on]:
        assert (a.hash(job)["ats"], a.hash(job)["atm"]) == ("1", "1")
    assert runs.count("start") == 3
    wait_until(lambda: daemon.status()["state"] == "ready", 20)
    assert daemon.call("health", kind="ready")["ready"] is True
    assert [line for line in daemon.logged("worker exited") if line["why"] != "asked"] == []


def test_idle_workers_say_once_that_redis_refuses_writes_and_once_that_it_takes_them_again(make, jobs, server):
    daemon = make(QUEUE.format(5), url=server.url)
    a = jobs("a", server)
    with without_replicas(server):
        wait_until(lambda: len(daemon.logged("worker lost Redis")) >= 2, 20)
        refused = time.monotonic()
        wait_until(lambda: time.monotonic() - refused > 3, 5)
        assert "redis: too few replicas" in daemon.status()["degraded_by"]
    wait_until(lambda: len(daemon.logged("worker has Redis again")) >= 2, 20)
    assert a.result(a.add({}, name="ok"), 10)
    told = [len(daemon.logged(event)) for event in ("worker lost Redis", "worker has Redis again")]
    assert told == [2, 2]


def test_clients_killed_and_scripts_flushed_again_and_again_cost_no_job(make, jobs, server):
    daemon = make(QUEUE.format(30), url=server.url)
    a = jobs("a", server)
    with harassed(server):
        added = [_added(a) for _ in range(100)]
        wait_until(lambda: len(a.ids("completed")) >= 60, 60)
    for job in added:
        a.wait_state(job, "completed", 30)
        assert a.hash(job)["atm"] == "1"
    assert len(a.ids("completed")) == len(added)
    assert [line for line in daemon.logged("worker exited") if line["why"] != "asked"] == []
    wait_until(lambda: daemon.status()["state"] == "ready", 20)


def _added(jobs) -> str:
    """Add a job past connections that are killed."""
    number = len(jobs.ids("completed")), time.monotonic_ns()
    while True:
        try:
            return jobs.add({}, name="ok", job_id=f"j{number[1]}")
        except Exception:
            time.sleep(0.01)
