"""BullMQ 5 pauses by renaming wait and resumes by renaming it back over whatever came into wait meanwhile."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.engine.adding import add_job, add_jobs
from jobd.engine.admin import pause_queue, resume_queue, retry_job
from jobd.engine.job import Finish, Limiter
from jobd.engine.locks import check_stalled, hand_back_jobs, recover_jobs
from jobd.engine.options import new_job
from jobd.engine.reading import get_state, list_jobs, queue_facts
from jobd.engine.states import Outcome, State
from tests.support.node import start_node
from tests.support.queue_of import NOW, PREFIX, QueueOf
from tests.support.redis_server import RedisServer

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat("pause, resume, promote, retry, remove", "BullMQ does it, jobd follows", peer="bullmq5"),
    pytest.mark.compat("pause of version 5 (its list `paused`)", "both pause, both resume", peer="bullmq5"),
]

PEER = Path(__file__).with_name("peer.cjs")
LATER = NOW + 60_000

Node = Callable[..., list[str]]


@pytest.fixture(scope="module")
def process(redis_server: RedisServer) -> Iterator[subprocess.Popen[str]]:
    with start_node(PEER, str(redis_server.port), "bull5", "unused", "follow", env={"BULLMQ": "bullmq5"}) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


@pytest.fixture
def node(process: subprocess.Popen[str], q: QueueOf) -> Node:
    """BullMQ 5 does these steps on the queue; returns the ids of its adds."""

    def steps(*steps: Any) -> list[str]:
        assert process.stdin is not None
        assert process.stdout is not None
        line = json.dumps({"prefix": q.prefix, "queue": q.name, "steps": steps})
        print(line, file=process.stdin, flush=True)
        told: list[str] = json.loads(process.stdout.readline())
        return told

    return steps


def add(name: str = "n", **options: Any) -> Any:
    return {"add": [name, {}, options]}


def ours(q: QueueOf, **options: Any) -> str:
    added = q.run(add_job(q.keys, new_job("n", {}, {"timestamp": NOW, **options}, now_ms=NOW)))
    return str(added.job_id)


def paused(q: QueueOf) -> list[str]:
    """Ids of the list `paused`, the next to run first."""
    return list(reversed(q.r.lrange(q.keys.legacy_paused, 0, -1)))


def test_the_scenario_of_the_issue_loses_nothing(node: Node, q: QueueOf) -> None:
    failing, due = ours(q, job_id="failing"), ours(q, delay="1s")
    (job,) = q.take()
    q.turn(Finish(job.id, job.token, Outcome.FAILED, b"boom"))
    (theirs,) = node("pause", add())
    mine = ours(q)
    q.run(retry_job(q.keys, failing))
    assert q.turn(take=5, now=NOW + 2000).jobs == []
    assert q.run(queue_facts(q.keys)).counts["waiting"] == 4
    node("resume")
    assert q.wait() == [theirs, mine, failing, due]
    assert q.ids(10, now=NOW + 3000) == [theirs, mine, failing, due]


def retries_now(q: QueueOf, job: Any) -> None:
    q.turn(Finish(job.id, job.token, Outcome.RETRY, b"boom"))


def is_handed_back(q: QueueOf, job: Any) -> None:
    q.turn(Finish(job.id, job.token, Outcome.HAND_BACK))


def is_rate_limited(q: QueueOf, job: Any) -> None:
    q.turn(Finish(job.id, job.token, Outcome.LIMITED, delay_ms=1))


def is_handed_back_by_the_daemon(q: QueueOf, job: Any) -> None:
    q.run(hand_back_jobs(q.keys, PREFIX))


def loses_its_worker(q: QueueOf, job: Any) -> None:
    q.run(recover_jobs(q.keys, PREFIX, begun=[(job.id, 1)], counted=True, max_crashes=1, reason="gone", now_ms=NOW))


def stalls(q: QueueOf, job: Any) -> None:
    q.r.delete(q.keys.lock(job.id))
    for _ in range(2):
        q.run(check_stalled(q.keys, now_ms=NOW, interval_ms=1000, max_crashes=1))
        q.r.delete(q.keys.stalled_check)


def fails_as_an_owner(q: QueueOf, job: Any) -> None:
    """The job parked behind it is added when it ends."""
    ours(q, job_id="parked", deduplicate={"id": "d", "keep_last_if_active": True})
    q.turn(Finish(job.id, job.token, Outcome.COMPLETED, deduplication_id="d"))


@pytest.mark.parametrize(
    "event",
    [
        retries_now,
        is_handed_back,
        is_rate_limited,
        is_handed_back_by_the_daemon,
        loses_its_worker,
        stalls,
        fails_as_an_owner,
    ],
)  # fmt: skip
def test_a_running_job_that_goes_back_to_a_paused_queue_survives(
    node: Node, q: QueueOf, event: Callable[[QueueOf, Any], None]
) -> None:
    ours(q, job_id="first", deduplicate={"id": "d", "keep_last_if_active": True})
    (job,) = q.take(limiter=None)
    (theirs,) = node("pause", add())
    event(q, job)
    back = "parked" if event is fails_as_an_owner else "first"
    assert sorted(paused(q)) == sorted([theirs, back])
    assert q.wait() == []
    node("resume")
    assert sorted(q.wait()) == sorted([theirs, back])
    assert q.r.zscore(q.keys.marker, "0") == 0


def test_an_empty_queue_that_only_meta_calls_bullmq_5(node: Node, q: QueueOf) -> None:
    node("pause")
    assert not q.r.exists(q.keys.legacy_paused)
    first = ours(q)
    more = [added.job_id for added in q.run(add_jobs(q.keys, [new_job("n", {}, now_ms=NOW)] * 3))]
    (theirs,) = node(add())
    node("resume")
    assert q.wait() == [first, *more, theirs]


def test_counts_pages_and_states_see_both_lists(node: Node, q: QueueOf) -> None:
    q.r.hset(q.keys.meta, "version", "bullmq:6.7.0")
    # A BullMQ 6 added before anyone of version 5 did: its ids are in wait.
    q.run(pause_queue(q.keys, who="me", why=None, now_ms=NOW))
    in_wait = [ours(q), ours(q)]
    in_paused = [q.put_paused("a"), q.put_paused("b"), q.put_paused("c")]
    everyone = [*in_paused, *in_wait]
    assert q.run(queue_facts(q.keys)).counts["waiting"] == 5
    for start in range(6):
        for stop in range(start, 6):
            for asc in (True, False):
                page = q.run(list_jobs(q.keys, State.WAITING, start, stop, asc=asc))
                order = everyone if asc else everyone[::-1]
                assert [job.id for job in page] == order[start : stop + 1]
    assert {q.run(get_state(q.keys, job_id)) for job_id in everyone} == {State.WAITING}
    q.run(resume_queue(q.keys))
    assert q.wait() == everyone


def test_our_pause_of_their_queue_is_one_they_can_resume(node: Node, q: QueueOf) -> None:
    (theirs,) = node(add())
    q.run(pause_queue(q.keys, who="me", why=None, now_ms=NOW))
    mine = ours(q)
    assert (paused(q), q.wait()) == ([theirs, mine], [])
    node("resume")
    assert q.wait() == [theirs, mine]


def test_our_resume_of_their_pause(node: Node, q: QueueOf) -> None:
    (first,) = node(add())
    node("pause")
    mine = ours(q)
    assert q.run(resume_queue(q.keys)) == (True, 0)
    assert q.wait() == [first, mine]
    (theirs,) = node(add())
    assert q.wait() == [first, mine, theirs]
    assert q.take(limiter=Limiter(10, 1000))


def test_a_queue_of_version_6_goes_on_using_wait(q: QueueOf) -> None:
    q.r.hset(q.keys.meta, "version", "bullmq:6.7.0")
    q.run(pause_queue(q.keys, who="me", why=None, now_ms=NOW))
    mine = ours(q)
    assert (paused(q), q.wait()) == ([], [mine])
