"""A real daemon and programs of BullMQ (6.7 and 5.81 of npm, PyPI's) on the same queues: what one adds the other runs.

A row is added by one side, run by the other, and read back by both.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.client import Flow, Queue
from jobd.errors import JobFailed
from tests.support.daemon_process import DaemonProcess
from tests.support.node import Conversation, python_with_bullmq, start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
PEERS = ("bullmq", "bullmq5", "python")
QUEUES = """
[queues.work]
handler = "mixed_handlers:handle"
[queues.parts]
handler = "mixed_handlers:handle"
"""


class Peer(Conversation):
    """A program of BullMQ that does one thing after the other."""

    def __init__(self, process: subprocess.Popen[str], *, prefix: str, knows_logs: bool) -> None:
        super().__init__(process)
        self.prefix = prefix
        self.knows_logs = knows_logs

    def add(self, name: str, data: Any = None, **opts: Any) -> str:
        """Add one job; return its id."""
        [job_id] = self.ask("add", jobs=[[name, {} if data is None else data, opts]])
        return str(job_id)

    def look(self, job_id: str, queue: str = "work") -> Any:
        """Return what it reads of a job; None when there is none."""
        return self.ask("look", queue=queue, id=job_id)

    def ended(self, job_id: str, queue: str = "work") -> dict[str, Any]:
        """Return what it reads of a job once it has ended."""

        def seen() -> dict[str, Any] | None:
            job = self.look(job_id, queue)
            return job if job and job["state"] in ("completed", "failed") else None

        return wait_until(seen, 20, what=f"job {job_id} ends")


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Peer]:
    argv = [str(redis_server.port), f"mixed-{request.param}"]
    if request.param == "python":
        command = [python_with_bullmq(), str(HERE / "mixed_peer.py"), *argv]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    else:
        process = start_node(HERE / "mixed_peer.cjs", *argv, env={"BULLMQ": request.param})
    with process:
        yield Peer(process, prefix=argv[1], knows_logs=request.param != "python")
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


@pytest.fixture(scope="module")
def daemon(peer: Peer, redis_server: RedisServer) -> Iterator[DaemonProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="jobd-") as folder,
        DaemonProcess(Path(folder) / "d", redis_server.url, QUEUES, prefix=peer.prefix) as daemon,
    ):
        yield daemon.start_ready()


@pytest.fixture
def queue(peer: Peer, redis_server: RedisServer) -> Iterator[Queue]:
    with Queue("work", url=redis_server.url, prefix=peer.prefix) as queue:
        yield queue


@pytest.fixture
def theirs(peer: Peer, redis_server: RedisServer) -> Iterator[Queue]:
    """A queue that no daemon serves."""
    with Queue("theirs", url=redis_server.url, prefix=peer.prefix) as queue:
        yield queue


# --- added there, run here -------------------------------------------------------------------------------------------


@pytest.mark.compat("plain jobs", "BullMQ adds, jobd runs")
@pytest.mark.parametrize("data", [{"userId": 7, "text": "wörld/"}, [1, None, True], "text", 0, None])
def test_data_arrives_and_the_result_is_read_there(daemon: DaemonProcess, peer: Peer, data: Any) -> None:
    seen = peer.ended(peer.add("welcome", data))
    arrived = {} if data is None else data
    assert (seen["name"], seen["data"], seen["state"]) == ("welcome", arrived, "completed")
    assert (seen["result"], seen["attempts"]) == ({"n": 2, "data": arrived}, 1)
    if peer.knows_logs:
        assert seen["logs"] == ["working on welcome"]


@pytest.mark.compat("options of a job: delay, priority, LIFO, own id", "BullMQ adds, jobd runs")
def test_the_options_of_a_job_are_followed(daemon: DaemonProcess, peer: Peer) -> None:
    ids = [
        peer.add("a", delay=200), peer.add("b", priority=3), peer.add("c", lifo=True), peer.add("d", jobId="own:id:1"),
    ]  # fmt: skip
    assert ids[3] == "own:id:1"
    assert {peer.ended(job_id)["state"] for job_id in ids} == {"completed"}


@pytest.mark.compat("retries: attempts, fixed and exponential backoff", "BullMQ adds, jobd runs")
@pytest.mark.parametrize("backoff", [{"type": "fixed", "delay": 20}, {"type": "exponential", "delay": 10}, None])
def test_a_failed_attempt_is_repeated(daemon: DaemonProcess, peer: Peer, backoff: Any) -> None:
    more = {"backoff": backoff} if backoff else {}
    flaky = peer.ended(peer.add("flaky", attempts=3, **more))
    assert (flaky["state"], flaky["attempts"]) == ("completed", 2)
    bad = peer.ended(peer.add("fail", attempts=2, **more))
    assert (bad["state"], bad["attempts"], bad["reason"]) == ("failed", 2, "boom")


@pytest.mark.compat("UnrecoverableError, Unrecoverable", "BullMQ adds, jobd runs")
def test_a_fatal_failure_is_not_repeated(daemon: DaemonProcess, peer: Peer) -> None:
    fatal = peer.ended(peer.add("fatal", attempts=5))
    assert (fatal["state"], fatal["attempts"], fatal["reason"]) == ("failed", 1, "fatal")


@pytest.mark.compat("removeOnComplete, removeOnFail", "BullMQ adds, jobd runs")
def test_a_job_that_is_not_kept_is_gone(daemon: DaemonProcess, peer: Peer) -> None:
    gone = [peer.add("ok", removeOnComplete=True), peer.add("fail", removeOnFail=True)]
    wait_until(lambda: [peer.look(job_id) for job_id in gone] == [None, None], 20, what="both are gone")


@pytest.mark.compat("flows", "BullMQ adds, jobd runs")
def test_a_flow_comes_together(daemon: DaemonProcess, peer: Peer) -> None:
    part = {"name": "part", "queueName": "parts", "data": {}}
    root = peer.ask("flow", tree={"name": "sum", "queueName": "work", "data": {}, "children": [part, part]})
    assert (peer.ended(root)["state"], peer.look(root)["result"]) == ("completed", 4)


@pytest.mark.compat("deduplication", "BullMQ adds, jobd runs")
def test_a_deduplicated_add_is_one_job(daemon: DaemonProcess, peer: Peer) -> None:
    opts = {"deduplication": {"id": f"d-{peer.prefix}"}, "delay": 300}
    first, second = peer.add("ok", **opts), peer.add("ok", **opts)
    assert first == second
    assert peer.ended(first)["state"] == "completed"


@pytest.mark.compat("pause, resume, promote, retry, remove", "BullMQ does it, jobd follows")
def test_what_is_done_there_holds_here(daemon: DaemonProcess, peer: Peer, queue: Queue) -> None:
    peer.ask("pause")
    wait_until(lambda: daemon.queue("work")["state"] == "paused", 20, what="the pause is seen")
    theirs, ours, later = peer.add("ok"), queue.add("ok", {}).id, peer.add("ok", delay=3_600_000)
    peer.ask("promote", id=later)
    peer.ask("resume")
    assert {peer.ended(str(job_id))["state"] for job_id in (theirs, ours, later)} == {"completed"}
    bad = peer.add("fail")
    assert peer.ended(bad)["attempts"] == 1
    peer.ask("retry", id=bad)
    wait_until(lambda: (peer.look(bad) or {}).get("attempts") == 2, 20, what="it failed again")
    peer.ask("remove", id=bad)
    assert queue.get(bad) is None


# --- added here, run there -------------------------------------------------------------------------------------------


@pytest.mark.compat("plain jobs", "jobd adds, BullMQ runs")
def test_what_we_add_is_run_there_and_its_result_comes_back(peer: Peer, theirs: Queue) -> None:
    handle = theirs.add("welcome", {"userId": 7, "text": "wörld/"})
    assert peer.ask("work", queues=["theirs"], ends=1)
    assert handle.wait(timeout=20) == {"n": 2, "data": {"userId": 7, "text": "wörld/"}}


@pytest.mark.compat("options of a job: delay, priority, LIFO, own id", "jobd adds, BullMQ runs")
def test_our_options_are_followed_there(peer: Peer, theirs: Queue) -> None:
    handles = [
        theirs.add("a", {}, delay="200ms"), theirs.add("b", {}, priority=3), theirs.add("c", {}, lifo=True),
        theirs.add("d", {}, job_id="own:id:2"),
    ]  # fmt: skip
    assert peer.ask("work", queues=["theirs"], ends=4)
    assert [handle.wait(timeout=20)["n"] for handle in handles] == [2, 2, 2, 2]


@pytest.mark.compat("retries: attempts, fixed and exponential backoff", "jobd adds, BullMQ runs")
def test_our_attempts_and_backoff_are_followed_there(peer: Peer, theirs: Queue) -> None:
    flaky = theirs.add("flaky", {}, attempts=3, backoff="20ms")
    bad = theirs.add("fail", {}, attempts=2, backoff={"type": "exponential", "delay": "10ms"})
    assert peer.ask("work", queues=["theirs"], ends=2)
    assert flaky.wait(timeout=20)["n"] == 2
    with pytest.raises(JobFailed, match="boom"):
        bad.wait(timeout=20)
    assert peer.look(str(bad.id), "theirs")["attempts"] == 2


@pytest.mark.compat("flows", "jobd adds, BullMQ runs")
def test_our_flow_comes_together_there(peer: Peer, theirs: Queue) -> None:
    children = [Flow("part", {}, queue="their-parts"), Flow("part", {}, queue="their-parts")]
    root = theirs.add_flow(Flow("sum", {}, children=children))
    assert peer.ask("work", queues=["theirs", "their-parts"], ends=3)
    assert root.job.wait(timeout=20) == 4


@pytest.mark.compat("deduplication", "jobd adds, BullMQ runs")
def test_our_deduplicated_add_is_one_job_there(peer: Peer, theirs: Queue) -> None:
    first = theirs.add("ok", {}, deduplicate={"id": "ours"})
    assert theirs.add("ok", {}, deduplicate={"id": "ours"}).id == first.id
    assert peer.ask("work", queues=["theirs"], ends=1)
    again = theirs.add("ok", {}, deduplicate={"id": "ours"})
    assert again.id != first.id
    assert peer.ask("work", queues=["theirs"], ends=1)


# --- both run --------------------------------------------------------------------------------------------------------


@pytest.mark.compat("workers of both on one queue", "both add, both run")
def test_both_run_one_queue_and_each_job_once(daemon: DaemonProcess, peer: Peer, queue: Queue, r: redis.Redis) -> None:
    before = int(r.zcard(f"{peer.prefix}:work:completed"))
    handles = queue.add_many([("ours", {"i": i}) for i in range(150)])
    peer.ask("add", jobs=[["theirs", {"i": i}, {}] for i in range(150)])
    peer.ask("add", jobs=[["flaky", {"i": i}, {"attempts": 2}] for i in range(20)])
    wait_until(lambda: int(r.zcard(f"{peer.prefix}:work:completed")) - before == 320, 30, what="all have ended")
    assert {r.hget(handle.key, "ats") for handle in handles} == {"1"}
