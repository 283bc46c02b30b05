"""A daemon and its clients on Sentinel and on a Cluster, real ones: the primary is killed, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from jobd.cli import main
from jobd.client import AsyncQueue, Flow, Queue
from jobd.errors import InputError, RedisRefused
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
    with ThreadPoolExecutor(2) as readers:
        told = readers.submit(told_of, queue)
        shown = readers.submit(followed, daemon, gate.parent / "events")
        _outlives(daemon, queue, gate, kill, data)
        stream = [event.id for event in queue.events(after="0", timeout=0.5)]
        assert told.result() == stream[: len(told.result())], "a reader was told each event once, in order"
        assert shown.result() == len(told.result()), "so was who follows by the daemon"
    ended = [line.split()[1] for line in marks.read_text().splitlines() if line.startswith("end")]
    assert sorted(ended) == sorted({*ended}), "each ran once"
    wait_until(lambda: daemon.status()["state"] == "ready", 20, what="the daemon is ready")


JOBS = 13


def told_of(queue: Queue) -> list[str]:
    """Return the ids of the events up to the end of the last job."""
    ids, left = [], JOBS
    for event in queue.events(after="0", timeout=60):
        ids.append(event.id)
        left -= event.name == "completed"
        if not left:
            break
    return ids


def followed(daemon: DaemonProcess, file: Path) -> int:
    """Follow the events as a person does, up to the end of the last job; return how many there were."""
    command = [sys.executable, "-m", "jobd", "events", "-f", "--json", "--socket", str(daemon.socket)]
    with file.open("wb") as out, subprocess.Popen(command, stdout=out, cwd=daemon.folder, env=daemon.env) as process:
        try:
            wait_until(lambda: file.read_bytes().count(b'"completed"') >= JOBS, 90, what="the last job's end is told")
        finally:
            process.kill()
    lines = [line for line in file.read_bytes().splitlines() if line.endswith(b"}")]
    assert len({*lines}) == len(lines)
    return max(index for index, line in enumerate(lines, 1) if b'"completed"' in line)


def _outlives(daemon: DaemonProcess, queue: Queue, gate: Path, kill: Callable[[], None], data: dict[str, str]) -> None:
    jobs = queue.add_many([("x", data)] * (JOBS - 1))
    wait_until(lambda: daemon.queue(queue.name)["busy"] == 4, 20, what="four jobs run")
    wait_until(lambda: (events := gate.parent / "events").exists() and events.stat().st_size, 20, what="one follows")
    kill()
    later = wait_until(lambda: _added(queue, data), 20, what="an add is accepted again")
    gate.touch()
    assert [job.wait(timeout=40) for job in [*jobs, later]] == ["slow"] * JOBS


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


@pytest.fixture
def spread(cluster: Cluster) -> list[str]:
    """Return names of queues that lie on three different servers."""
    apart: dict[object, str] = {}
    for name in (f"{{s{number}}}" for number in range(100)):
        apart.setdefault(cluster.owner(name), name)
    assert len(apart) == 3
    return list(apart.values())


def test_schedules_batches_and_limits_per_key_work_on_queues_of_different_servers(
    cluster: Cluster, spread: list[str], short_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three = map(json.dumps, spread)
    queues = (
        f'[queues.{one}]\nhandler = "daemon_handlers:slow"\nconcurrency = 4\n'
        f'per_key = {{ key = "tenant", concurrency = 1 }}\n'
        f'[queues.{two}]\nhandler = "daemon_handlers:batch"\nbatch = {{ max = 4, wait = "2s" }}\n'
        f'[queues.{three}]\nhandler = "daemon_handlers:ok"\n'
        f'[schedules.tick]\nqueue = {three}\nname = "tick"\nevery = "1s"\n'
    )
    marks = short_tmp / "marks"
    with ExitStack() as stack:
        daemon = stack.enter_context(DaemonProcess(short_tmp / "d", cluster.url, queues)).start_ready()
        a, b = (stack.enter_context(Queue(name, url=cluster.url)) for name in spread[:2])
        limited = a.add_many([("x", {"tenant": "t", "s": 0.1, "mark": str(marks)})] * 3)
        gathered = b.add_many([("x", {})] * 4)
        assert [job.wait(timeout=20) for job in limited] == ["slow"] * 3
        assert [line.split()[0] for line in marks.read_text().splitlines()] == ["start", "end"] * 3
        assert [job.wait(timeout=20) for job in gathered] == [4] * 4
        wait_until(lambda: daemon.queue(spread[2])["completed"] >= 2, 20, what="the schedule has run twice")
        # The commands, by the daemon and without one.
        for where in (["--socket", str(daemon.socket)], ["--redis", cluster.url]):
            assert listed(["queue", "list"], where, capsys, "queues") >= {*spread}
            assert listed(["schedule", "list"], where, capsys, "schedules") >= {"tick"}
            assert main(["events", "--json", *where]) == 0
            events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            assert {event["queue"] for event in events} >= {*spread}
        # Follow them: something of each server comes.
        seen = daemon.call("events", queues=spread)["after"]
        for queue in (a, b):
            queue.add("y", {"s": 0})
        found = set()
        while not found >= {*spread}:
            answer = daemon.call("events", after=seen, wait_ms=1000)
            seen, found = answer["after"], found | {event["queue"] for event in answer["events"]}
        with pytest.raises(RedisRefused, match="must share a hash tag"):
            a.add_flow(Flow("parent", children=[Flow("child", queue=spread[1])]))


def listed(words: list[str], where: list[str], capsys: pytest.CaptureFixture[str], member: str) -> set[str]:
    """Return the names in a list that a command prints."""
    assert main([*words, "--json", *where]) == 0
    return {row["name"] for row in json.loads(capsys.readouterr().out)[member]}


def test_a_cluster_without_hash_tags_is_refused_by_name(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="hash tag"):
        Queue("mail", url=cluster.url)


def test_a_primary_nobody_knows_is_named(sentinels: SentinelSet) -> None:
    url = sentinels.url.replace("/main", "/other")
    with Queue("mail", url=url) as queue, pytest.raises(Exception, match='knows no master "other"') as caught:
        queue.add("x", {})
    assert not isinstance(caught.value, redis.RedisError)
