"""The turn that an idle worker sends ahead, behind its wait for a marker."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import redis

from jobd.client import Queue
from jobd.protocol import framing
from jobd.protocol import worker as messages
from tests.support.cutting_proxy import CuttingProxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, WorkerProcess, numbers


def waiting(client: redis.Redis) -> list[dict[str, str]]:
    """The connections that wait for a marker with a turn behind it."""
    return [one for one in client.client_list() if one["cmd"] == "bzpopmin" and int(one["qbuf"]) > 0]


def start_idle(parent: WorkerParent, client: redis.Redis, handler: str, **more: object) -> WorkerProcess:
    worker = parent.start("mail", numbers(handler, **more))
    wait_until(lambda: waiting(client), what="a turn waits in Redis")
    return worker


def scripts_run(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def completed(client: redis.Redis) -> int:
    return int(client.zcard("bull:mail:completed"))


def test_a_job_of_an_idle_worker_costs_two_scripts_beside_its_add(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    queue.add("warm", {})
    start_idle(parent, client, "basic:echo")
    wait_until(lambda: completed(client) == 1)
    wait_until(lambda: waiting(client))
    before = scripts_run(client)
    queue.add("a", {})
    wait_until(lambda: completed(client) == 2)
    wait_until(lambda: waiting(client))
    # The add, the turn that waited, the turn that finishes: none that looks for work after a wake-up.
    assert scripts_run(client) - before == 3


def test_a_burst_is_taken_up_to_the_free_slots_and_then_on(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    start_idle(parent, client, "basic:echo", concurrency=4)
    queue.add_many([("a", {"number": number}) for number in range(50)])
    wait_until(lambda: completed(client) == 50)


def test_lost_reply_of_a_turn_that_waited_loses_nothing_and_runs_nothing_twice(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, short_tmp: Path
) -> None:
    marks = short_tmp / "marks"
    with CuttingProxy(short_tmp, own_redis.socket) as proxy, WorkerParent(proxy.url, "bull") as parent:
        proxy.cut_next(lambda request: b"BZPOPMIN" in request and b"EVALSHA" in request)
        start_idle(parent, client, "rough:mark_slowly")
        queue.add("a", {"file": str(marks), "seconds": 0})
        wait_until(lambda: completed(client) == 1)
        assert proxy.cuts == 1
        assert marks.read_text() == "1\n"
        queue.add("b", {"file": str(marks), "seconds": 0})
        wait_until(lambda: completed(client) == 2)


def test_a_turn_lost_with_redis_stays_on_the_board_until_its_jobs_are_looked_for(
    own_redis: RedisServer, client: redis.Redis, parent: WorkerParent
) -> None:
    worker = start_idle(parent, client, "basic:echo")
    own_redis.kill()
    assert worker.expect(messages.RedisState).up is False
    # The daemon renews by prefix while this says so: the lost turn may have taken jobs.
    assert worker.board.turn_sent_at > 0
    own_redis.start()
    assert worker.expect(messages.RedisState).up is True


def test_a_killed_wait_is_begun_again(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    start_idle(parent, client, "basic:echo")
    client.client_kill_filter(_id=waiting(client)[0]["id"])
    queue.add("a", {})
    wait_until(lambda: completed(client) == 1, 3)
    wait_until(lambda: waiting(client))


def test_a_quiet_worker_has_no_turn_waiting(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    worker = start_idle(parent, client, "basic:echo")
    worker.send(messages.Quiet())
    worker.expect(messages.Quieted)
    assert waiting(client) == []
    queue.add("a", {})
    assert client.lrange("bull:mail:active", 0, -1) == []
    worker.send(messages.Resume())
    wait_until(lambda: completed(client) == 1)


def test_new_numbers_reach_the_turn_that_waits(queue: Queue, client: redis.Redis, parent: WorkerParent) -> None:
    worker = start_idle(parent, client, "basic:wait", concurrency=1)
    first = waiting(client)[0]["qbuf"]
    worker.send(messages.Settings(numbers("basic:wait", concurrency=100)))
    wait_until(lambda: [one["qbuf"] for one in waiting(client)] not in ([], [first]), what="another turn waits")


def test_a_stopped_worker_shows_that_it_may_hold_jobs_and_runs_them_when_it_goes_on(
    queue: Queue, client: redis.Redis, parent: WorkerParent
) -> None:
    worker = start_idle(parent, client, "basic:echo")
    signal.pidfd_send_signal(worker.pidfd, signal.SIGSTOP)
    queue.add("a", {})
    wait_until(lambda: client.lrange("bull:mail:active", 0, -1))
    assert 0 < worker.board.turn_sent_at <= time.monotonic()
    signal.pidfd_send_signal(worker.pidfd, signal.SIGCONT)
    wait_until(lambda: completed(client) == 1)
    wait_until(lambda: client.get("bull:mail:1:lock") is None)


def test_a_reply_that_lay_unread_while_another_took_the_job_starts_nothing(
    queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    worker = start_idle(parent, client, "rough:mark_slowly", lock_ms=300)
    signal.pidfd_send_signal(worker.pidfd, signal.SIGSTOP)
    queue.add("a", {"file": str(marks), "seconds": 0})
    wait_until(lambda: client.lrange("bull:mail:active", 0, -1))
    wait_until(lambda: client.get("bull:mail:1:lock") is None, what="its lock ran out")
    client.hincrby("bull:mail:1", "ats", 1)
    client.set("bull:mail:1:lock", "another:1:2")
    signal.pidfd_send_signal(worker.pidfd, signal.SIGCONT)
    queue.add("b", {"file": str(marks), "seconds": 0})
    wait_until(lambda: completed(client) == 1)
    assert marks.read_text() == "2\n"
    assert client.get("bull:mail:1:lock") == "another:1:2"


def test_an_outage_is_told_once_though_nothing_waited_on_the_second_connection(
    own_redis: RedisServer, queue: Queue, client: redis.Redis, parent: WorkerParent, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    queue.add("a", {"file": str(marks), "seconds": 0.5})
    worker = parent.start("mail", numbers("rough:mark_slowly"))
    wait_until(marks.exists)
    own_redis.kill()
    assert worker.expect(messages.RedisState).up is False
    own_redis.start()
    assert worker.expect(messages.RedisState).up is True
    wait_until(lambda: waiting(client), what="a turn waits in Redis again")
    worker.send(messages.DumpStacks())
    # Nothing about Redis came before the answer.
    packet = framing.receive(worker.sock)
    assert packet is not None
    assert isinstance(messages.decode(packet[0]), messages.Stacks)
