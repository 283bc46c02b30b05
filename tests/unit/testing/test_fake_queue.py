"""FakeQueue: producers write to memory, drain runs the handlers of a file there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd import Job, RateLimited, RetryLater, WaitForChildren
from jobd.client import AsyncQueue, Flow, Queue
from jobd.engine.states import State
from jobd.errors import InputError, JobFailed, NotThere
from jobd.testing import FakeQueue

ran: list[tuple[str, Any]] = []


def note(job: Job) -> Any:
    ran.append((job.name, job.data))
    return job.data


def flaky(job: Job) -> int:
    ran.append((job.name, job.attempt))
    if job.attempt < 3:
        raise ValueError("no luck yet")
    return job.attempt


def broken(job: Job) -> None:
    raise ValueError("no luck")


def later(job: Job) -> str:
    if (job.name, "later") not in ran:
        ran.append((job.name, "later"))
        raise RetryLater("3h")
    return "done"


def limited(job: Job) -> str:
    if not ran:
        ran.append((job.name, "limited"))
        raise RateLimited("1h")
    return job.data["n"]


def chain(job: Job) -> str:
    Queue("notes").add("from a queue", {})
    job.add("notes", "from the job", {})
    job.progress({"half": True})
    job.update_data({"changed": True})
    return "chained"


async def achain(job: Job) -> str:
    await job.add("notes", "awaited", {})
    async with AsyncQueue("notes") as queue:
        await queue.add("from an async queue", {})
    return "chained"


def total(job: Job) -> int:
    return sum(job.children_values().values())


def count(job: Job) -> Any:
    return job.data["n"]


def late_children(job: Job) -> Any:
    if not job.children_values():
        job.add("count", "count", {"n": 4}, parent=job)
        raise WaitForChildren
    return sorted(job.children_values().values())


def failures(job: Job) -> Any:
    return list(job.ignored_children_failures().values())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ran.clear()
    here = __name__
    (tmp_path / "jobd.toml").write_text(
        '[redis]\nurl = "redis://127.0.0.1:1"\n[queues]\n'
        + "".join(f'{name} = "{here}:{name}"\n' for name in ("broken", "later", "limited", "chain", "achain", "count"))
        + f'notes = "{here}:note"\ntotal = "{here}:total"\n'
        + f'parents = "{here}:late_children"\nfails = "{here}:failures"\n'
        + f'[queues.flaky]\nhandler = "{here}:flaky"\nattempts = 5\nbackoff = "1h"\nexpire = "1d"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBD_REDIS_URL", raising=False)
    return tmp_path


@pytest.fixture
def added() -> Iterator[FakeQueue]:
    with FakeQueue.patch() as fake:
        yield fake


def outcomes(fake: FakeQueue) -> list[str]:
    return [done.outcome for done in fake.drain()]


def test_what_producers_add_is_listed_and_nothing_runs(added: FakeQueue) -> None:
    queue = Queue("notes")
    first = queue.add("welcome", {"userId": 7}, attempts=3)
    assert [handle.id for handle in queue.add_many([("a", 1), ("b", 2, {"priority": 5})])] == ["2", "3"]
    (job, *rest) = added["notes"]
    assert (job.queue, job.name, job.data, job.opts, job.id) == (
        "notes", "welcome", {"userId": 7}, {"attempts": 3}, first.id,
    )  # fmt: skip
    assert [(each.name, each.data) for each in rest] == [("a", 1), ("b", 2)]
    assert added["other"] == []
    assert (queue.counts()["waiting"], queue.counts()["prioritized"], ran) == (2, 1, [])


def test_asyncio_writes_to_the_same_memory(added: FakeQueue) -> None:
    async def scene() -> Any:
        async with AsyncQueue("notes") as queue:
            job = await queue.add("welcome", {"n": 1})
            await queue.add_many([("next", {"n": 2})])
            return await job.wait(1), await queue.counts()

    result, counts = asyncio.run(scene())
    assert (result, counts["completed"], len(added["notes"])) == ({"n": 1}, 2, 2)


def test_a_queue_made_before_and_one_without_any_redis(home: Path) -> None:
    before = Queue("notes")
    (home / "jobd.toml").unlink()
    with FakeQueue.patch() as fake:
        before.add("early")
        Queue("notes").add("late")
        assert [job.name for job in fake["notes"]] == ["early", "late"]
    with pytest.raises(Exception, match="no Redis is configured"):
        Queue("notes")
    before.close()


def test_drain_runs_what_is_due_and_what_comes_of_it(added: FakeQueue) -> None:
    Queue("chain").add("start")
    Queue("achain").add("start")
    done = added.drain()
    assert [(each.queue, each.outcome) for each in done] == [
        ("chain", "completed"), ("achain", "completed"), *[("notes", "completed")] * 4,
    ]  # fmt: skip
    assert [job.name for job in done[0].added] == ["from the job"]
    assert (done[0].result, done[0].progress, done[0].data) == ("chained", [{"half": True}], {"changed": True})
    assert sorted(name for name, _ in ran) == ["awaited", "from a queue", "from an async queue", "from the job"]
    found = Queue("chain").get("1")
    assert found is not None
    assert (found.state, found.result, found.data) == (State.COMPLETED, "chained", {"changed": True})
    assert added.drain() == []
    Queue("notes").add("again")
    assert [(each.name, each.id) for each in added.drain()] == [("again", "5")]


def test_order_is_that_of_a_worker(added: FakeQueue) -> None:
    queue = Queue("notes")
    for name, options in [
        ("late", {"delay": "2h"}), ("soon", {"delay": "1h"}), ("low", {"priority": 9}), ("high", {"priority": 1}),
        ("first", {}), ("second", {}), ("front", {"lifo": True}),
    ]:  # fmt: skip
        queue.add(name, {}, **options)
    assert [done.name for done in added.drain()] == ["front", "first", "second", "high", "low", "soon", "late"]


def test_retries_and_delays_run_with_time_moved_forward(added: FakeQueue) -> None:
    Queue("flaky").add("try")
    Queue("later").add("once")
    done = added.drain()
    assert [(each.queue, each.outcome, each.delay_s) for each in done] == [
        ("flaky", "retry", 3600.0), ("later", "delayed", 10800.0), ("flaky", "retry", 3600.0),
        ("flaky", "completed", 0.0), ("later", "completed", 0.0),
    ]  # fmt: skip
    found = Queue("flaky").get("1")
    assert found is not None
    assert (found.attempts_made, len(found.stacktrace), found.failed_reason) == (3, 2, "no luck yet")


def test_a_job_that_waited_too_long_expires(added: FakeQueue) -> None:
    queue = Queue("flaky")
    queue.add("try", {}, timestamp=1)
    (done,) = added.drain()
    assert (done.outcome, str(done.error)) == ("failed", "expired")


def test_a_rate_limit_holds_the_queue_and_keeps_the_order(added: FakeQueue) -> None:
    Queue("limited").add_many([("a", {"n": 1}), ("b", {"n": 2})])
    assert [(done.outcome, done.result) for done in added.drain()] == [
        ("rate_limited", None), ("completed", 1), ("completed", 2),
    ]  # fmt: skip


def test_a_failed_job_says_why_and_a_wait_for_it_raises(added: FakeQueue) -> None:
    job = Queue("broken").add("bad")
    with pytest.raises(JobFailed, match="no luck"):
        job.wait(1)
    unserved = Queue("elsewhere").add("bad")
    assert added.drain() == []
    with pytest.raises(TimeoutError):
        unserved.wait(1)
    with pytest.raises(NotThere):
        Queue("broken").add("child", parent={"id": "9", "queue": "bull:broken"})


def test_a_flow_runs_children_first(added: FakeQueue) -> None:
    pages = [Flow("count", {"n": n}, queue="count") for n in (1, 2)]
    tree = Queue("total").add_flow(Flow("sum", children=pages))
    assert Queue("total").counts()["waiting-children"] == 1
    assert [(done.queue, done.result) for done in added.drain()] == [("count", 1), ("count", 2), ("total", 3)]
    assert tree.job.wait(1) == 3
    assert set(Queue("total").children_values(tree.job.id)) == {child.job.key for child in tree.children}


def test_children_that_a_handler_adds(added: FakeQueue) -> None:
    job = Queue("parents").add("build")
    assert outcomes(added) == ["waiting_children", "completed", "completed"]
    assert job.wait(1) == [4]


@pytest.mark.parametrize(
    ("if_failed", "state", "seen"),
    [("fail", State.FAILED, None), ("continue", State.COMPLETED, ["no luck"]), ("ignore", State.COMPLETED, ["no luck"]),
     ("remove", State.COMPLETED, []), (None, State.WAITING_CHILDREN, None)],
)  # fmt: skip
def test_what_the_failure_of_a_child_means(if_failed: str | None, state: State, seen: Any, added: FakeQueue) -> None:
    child = Flow("bad", {}, queue="broken", if_failed=if_failed)
    tree = Queue("fails").add_flow(Flow("parent", children=[child]))
    added.drain()
    found = Queue("fails").get(tree.job.id)
    assert found is not None
    assert (found.state, found.result) == (state, seen)


def test_ids_and_deduplication_hold(added: FakeQueue) -> None:
    queue = Queue("notes")
    assert not queue.add("a", {"n": 1}, job_id="one").duplicate
    assert queue.add("a", {"n": 2}, job_id="one").duplicate
    first = queue.add("b", {"n": 3}, deduplicate="user-7")
    again = queue.add("b", {"n": 4}, deduplicate="user-7")
    assert (again.deduplicated, again.id) == (True, first.id)
    assert [each.data["n"] for each in added["notes"]] == [1, 3]
    added.drain()
    assert not queue.add("b", {"n": 5}, deduplicate="user-7").deduplicated


def test_deduplication_with_a_lifetime_replace_and_reschedule(added: FakeQueue) -> None:
    queue = Queue("notes")
    queue.add("a", {"n": 1}, deduplicate={"id": "short", "ttl": "1m"})
    queue.add("wait", {}, delay="1h")
    queue.add("b", {"n": 1}, delay="1h", deduplicate={"id": "swap", "replace": True})
    queue.add("b", {"n": 2}, delay="1h", deduplicate={"id": "swap", "replace": True})
    queue.add("c", {"n": 1}, delay="9h", deduplicate={"id": "move"})
    queue.add("c", {"n": 2}, delay="30m", deduplicate={"id": "move", "reschedule": True})
    assert [(done.name, done.data) for done in added.drain()] == [
        ("a", {"n": 1}), ("c", {"n": 1}), ("wait", {}), ("b", {"n": 2}),
    ]  # fmt: skip
    assert not queue.add("a", {"n": 2}, deduplicate="short").deduplicated  # an hour has passed here


def test_bad_input_is_refused_as_ever(added: FakeQueue) -> None:
    with pytest.raises(InputError):
        Queue("notes").add("a", {1, 2})
    with pytest.raises(InputError):
        Queue("no:tes")
    assert added["notes"] == []


def test_a_handler_that_never_ends_is_told(added: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobd.testing.fake_queue.MOST_RUNS", 3)
    Queue("chain").add_many([("start", {})] * 9)
    with pytest.raises(InputError, match="3 runs"):
        added.drain()


def test_schedules_are_kept_and_make_no_jobs(added: FakeQueue) -> None:
    queue = Queue("notes")
    assert queue.schedule("nightly", "note", {"n": 1}, cron="0 3 * * *") is not None
    with pytest.raises(InputError):
        queue.schedule("wrong", every="soon")
    found = queue.get_schedule("nightly")
    assert found is not None
    assert ([each.id for each in queue.schedules()], found.template.name) == (["nightly"], "note")
    assert (added.drain(), queue.unschedule("nightly"), queue.schedules()) == ([], True, [])


def test_no_method_of_a_queue_goes_to_redis_from_memory(added: FakeQueue) -> None:
    own = {name for name in vars(Queue) if not name.startswith("_")}
    # A handle is made without Redis; what is done with it is not.
    assert own - {"handle"} <= set(added._methods()), "what is new in Queue needs a place in FakeQueue"


def test_events_are_refused(added: FakeQueue) -> None:
    for queue in (Queue("notes"), AsyncQueue("notes")):
        with pytest.raises(InputError, match="has no events"):
            queue.events()


def test_maintenance_is_refused_and_not_done_elsewhere(added: FakeQueue) -> None:
    job = Queue("notes").add("a")
    for act in (Queue("notes").empty, Queue("notes").obliterate, lambda: Queue("notes").retry(job.id)):
        with pytest.raises(InputError, match="has no maintenance"):
            act()
    with pytest.raises(InputError, match="has no maintenance"):
        asyncio.run(AsyncQueue("notes").empty())
    assert len(added["notes"]) == 1
