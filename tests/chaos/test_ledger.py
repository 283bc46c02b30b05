"""A ledger under fire: jobs, faults, and afterwards the sum must be right.

CHAOS_SECONDS (20) is how long faults fall, CHAOS_SEED which ones; a failure names the seed. CHAOS_FAULTS, by commas,
are the kinds that fall; without it all do. CHAOS_HOSTS (1) is how many daemons serve the queue; what falls on a daemon
falls on the first. CHAOS_KEEP is a folder that gets the daemon's log, the ledger and
Redis' files of a sum that is wrong.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from jobd.engine.keys import Keys
from tests.chaos.faults import Faults, queue_table
from tests.chaos.ledger import Ledger
from tests.chaos.producer import Producer
from tests.support.daemon_process import DaemonProcess, alive
from tests.support.redis_server import RedisServer
from tests.support.stepped_clock import SteppedClock
from tests.support.tables import assert_one_state_each, states_of
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
HOSTS = int(os.environ.get("CHAOS_HOSTS", "1"))
SEED = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))


@pytest.fixture
def noted(short_tmp: Path) -> Path:
    """The file in which handlers note their starts and ends."""
    path = short_tmp / "ledger"
    path.touch()
    return path


@pytest.fixture
def clocks(short_tmp: Path) -> tuple[SteppedClock, SteppedClock]:
    """The clocks of the daemon's host and of Redis'."""
    folders = short_tmp / "clock", short_tmp / "redis-clock"
    for folder in folders:
        folder.mkdir()
    return SteppedClock(folders[0]), SteppedClock(folders[1])


@pytest.fixture
def own_redis(short_tmp: Path, clocks: tuple[SteppedClock, SteppedClock]) -> Iterator[RedisServer]:
    """A durable redis-server that has the second of them."""
    server = RedisServer(short_tmp / "redis", durable=True, env=clocks[1].env).start()
    yield server
    server.stop()


@pytest.fixture
def daemon(
    short_tmp: Path, own_redis: RedisServer, noted: Path, prefix: str, clocks: tuple[SteppedClock, SteppedClock]
) -> Iterator[DaemonProcess]:
    """A daemon on the Redis of this test."""
    folder = short_tmp / "d"
    env = {"CHAOS_LEDGER": str(noted), **clocks[0].env}
    with DaemonProcess(folder, own_redis.url, queue_table(), prefix=prefix, env=env) as process:
        yield process.start_ready()


@pytest.fixture
def beside(
    short_tmp: Path, own_redis: RedisServer, noted: Path, prefix: str, daemon: DaemonProcess
) -> Iterator[list[DaemonProcess]]:
    """The other hosts."""
    env = {"CHAOS_LEDGER": str(noted)}
    with ExitStack() as stack:
        hosts = [
            DaemonProcess(short_tmp / f"d{number}", own_redis.url, queue_table(), prefix=prefix, env=env)
            for number in range(1, HOSTS)
        ]
        yield [stack.enter_context(host).start_ready() for host in hosts]


@pytest.mark.timeout(SECONDS * 4 + 240)
def test_every_accepted_job_finishes_once_whatever_is_killed(
    daemon: DaemonProcess, beside: list[DaemonProcess], own_redis: RedisServer, noted: Path, prefix: str,
    clocks: tuple[SteppedClock, SteppedClock],
) -> None:  # fmt: skip
    ledger = Ledger()
    producer = Producer(own_redis.url, prefix, ledger, SEED)
    faults = Faults(daemon, own_redis, ledger, SEED, clock=clocks[0], redis_clock=clocks[1])
    fallen = []
    producer.start()
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            fallen.append(faults.fall())
            _wait_for_more_runs(noted, fallen[-1])
    finally:
        producer.stop()
    print(f"seed {SEED}: {len(ledger.accepted)} jobs accepted, {len(ledger.unknown)} unanswered; faults: {fallen}")

    keys = Keys(prefix, "chaos")
    daemon.reload(queue_table(workers=3, concurrency=40))
    with own_redis.client() as r:
        try:
            wait_until(lambda: not any(_left(r, keys)), 60, what="nothing is left", every=0.2)
            _assert_sum_is_right(r, keys, ledger, producer, noted)
        except AssertionError as error:
            _keep([daemon, *beside], own_redis, noted)
            if any(left := _left(r, keys)):
                raise AssertionError(f"seed {SEED}: {left} left\n{daemon.log_tail()}") from error
            raise
        below = [pid for host in (daemon, *beside) for pid in host.children()]
        assert [host.stop() for host in (daemon, *beside)] == [0] * HOSTS
        assert [pid for pid in below if alive(pid)] == []
        assert_one_state_each(r, prefix, "chaos")


def _keep(hosts: list[DaemonProcess], server: RedisServer, noted: Path) -> None:
    if kept := os.environ.get("CHAOS_KEEP"):
        for number, host in enumerate(hosts):
            shutil.copy(host.log, f"{kept}/daemon{number}-{SEED}.log")
        shutil.copy(noted, f"{kept}/ledger-{SEED}")
        no_sockets = shutil.ignore_patterns("*.sock")
        shutil.copytree(server.folder, f"{kept}/redis-{SEED}", ignore=no_sockets, dirs_exist_ok=True)


def _wait_for_more_runs(noted: Path, fault: str) -> None:
    enough = noted.stat().st_size + 1000
    wait_until(lambda: noted.stat().st_size > enough, 10, what=f"jobs run again after {fault}")


def _left(r: redis.Redis, keys: Keys) -> tuple[int, int, int, int]:
    """Return how many jobs wait, run, wait by priority, are delayed."""
    return r.llen(keys.wait), r.llen(keys.active), r.zcard(keys.prioritized), r.zcard(keys.delayed)


def _assert_sum_is_right(r: redis.Redis, keys: Keys, ledger: Ledger, producer: Producer, noted: Path) -> None:
    where = states_of(r, keys)
    lost = ledger.accepted - where.keys()
    assert lost == set(), f"seed {SEED}: accepted and lost"
    assert where.keys() - ledger.accepted - ledger.unknown == set(), f"seed {SEED}: from nowhere"
    not_done = {job_id: (names, r.hget(keys.job(job_id), "failedReason")) for job_id, names in where.items()
                if names != ["completed"]}  # fmt: skip
    assert not_done == {}, f"seed {SEED}: not completed"
    finishes: dict[str, int] = {}
    for _, event in r.xrange(keys.events):
        if event["event"] in ("completed", "failed"):
            finishes[event["jobId"]] = finishes.get(event["jobId"], 0) + 1
    assert {job_id: count for job_id, count in finishes.items() if count != 1} == {}, f"seed {SEED}: finished twice"
    assert ledger.unexcused(noted, producer.expected_runs()) == [], f"seed {SEED}: runs that no fault explains"
    assert list(r.scan_iter(f"{keys.base}*:lock")) == []
