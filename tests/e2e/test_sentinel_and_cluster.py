"""A daemon and its clients on Sentinel and on a Cluster, real ones: the primary is killed, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from jobd.cli import main
from jobd.client import AsyncQueue, Queue
from jobd.errors import InputError
from tests.support.daemon_process import DaemonProcess
from tests.support.redis_topologies import Cluster, SentinelSet
from tests.support.waiting import wait_until

QUEUE = """
[queues.{name}]
handler = "daemon_handlers:slow"
concurrency = 4
lock_duration = "5s"
stalled_interval = "5s"
"""


@pytest.fixture(scope="module")
def sentinels() -> Iterator[SentinelSet]:
    with tempfile.TemporaryDirectory(prefix="jobd-") as folder:
        running = SentinelSet(Path(folder))
        yield running
        running.stop()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="jobd-") as folder:
        running = Cluster(Path(folder))
        yield running
        running.stop()


Make = Callable[..., DaemonProcess]


@pytest.fixture
def make(short_tmp: Path) -> Iterator[Make]:
    made: list[DaemonProcess] = []

    def build(url: str, prefix: str, *names: str) -> DaemonProcess:
        queues = "".join(QUEUE.format(name=json.dumps(name)) for name in names)
        made.append(DaemonProcess(short_tmp / f"d{len(made)}", url, queues, prefix=prefix))
        return made[-1].start_ready()

    yield build
    for daemon in made:
        daemon.destroy()


def outlives_the_primary(daemon: DaemonProcess, queue: Queue, gate: Path, kill: Callable[[], None]) -> None:
    """Jobs run and wait while the primary is killed; every one ends once, on the next."""
    marks = gate.parent / "marks"
    data = {"until": str(gate), "mark": str(marks)}
    jobs = queue.add_many([("x", data)] * 12)
    wait_until(lambda: daemon.queue(queue.name)["busy"] == 4, 20, what="four jobs run")
    kill()
    later = wait_until(lambda: _added(queue, data), 20, what="an add is accepted again")
    gate.touch()
    assert [job.wait(timeout=40) for job in [*jobs, later]] == ["slow"] * 13
    ended = [line.split()[1] for line in marks.read_text().splitlines() if line.startswith("end")]
    assert sorted(ended) == sorted({*ended}), "each ran once"
    wait_until(lambda: daemon.status()["state"] == "ready", 20, what="the daemon is ready")


def _added(queue: Queue, data: dict[str, str]) -> object:
    try:
        return queue.add("x", data, job_id="later")
    except Exception:
        return None


def test_jobs_outlive_the_primary_behind_sentinel(sentinels: SentinelSet, make: Make, short_tmp: Path) -> None:
    daemon = make(sentinels.url, "bull", "mail")
    assert daemon.status()["redis"]["url"] == sentinels.url
    with Queue("mail", url=sentinels.url) as queue:
        outlives_the_primary(daemon, queue, short_tmp / "gate", sentinels.kill_primary)


def test_jobs_outlive_the_owner_of_their_slot(cluster: Cluster, make: Make, short_tmp: Path) -> None:
    daemon = make(cluster.url, "{bull}", "mail")
    with Queue("mail", url=cluster.url, prefix="{bull}") as queue:
        outlives_the_primary(daemon, queue, short_tmp / "gate", lambda: void(cluster.kill_owner("{bull}")))


def void(_: object) -> None:
    """Do nothing with it."""


def test_queues_with_tags_of_their_own_are_spread_over_the_servers(
    cluster: Cluster, make: Make, short_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    apart: dict[object, str] = {}
    for name in (f"{{q{number}}}" for number in range(100)):
        apart.setdefault(cluster.owner(name), name)
    assert len(apart) == 3
    daemon = make(cluster.url, "bull", *apart.values())
    (short_tmp / "gate").touch()
    data = {"until": str(short_tmp / "gate")}
    for name in apart.values():
        with Queue(name, url=cluster.url) as queue:
            assert queue.add("x", data).wait(timeout=20) == "slow"

        async def added(name: str = name) -> object:
            async with AsyncQueue(name, url=cluster.url) as queue:
                return await (await queue.add("x", data)).wait(timeout=20)

        assert asyncio.run(added()) == "slow"
    shown = {queue["name"]: queue["completed"] for queue in daemon.status()["queues"]}
    assert shown == dict.fromkeys(apart.values(), 2)
    wait_until(lambda: len(daemon.call("host.list")["hosts"]) == 1, 20, what="the host shows itself")
    monkeypatch.chdir(short_tmp)
    for name in apart.values():
        assert main(["queue", "show", name, "--redis", cluster.url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["queue"]["completed"] == 2


def test_a_cluster_without_hash_tags_is_refused_by_name(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="hash tag"):
        Queue("mail", url=cluster.url)


def test_a_primary_nobody_knows_is_named(sentinels: SentinelSet) -> None:
    url = sentinels.url.replace("/main", "/other")
    with Queue("mail", url=url) as queue, pytest.raises(Exception, match='knows no master "other"') as caught:
        queue.add("x", {})
    assert not isinstance(caught.value, redis.RedisError)
