"""Flows as producers add them, plainly and with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobd.client import AsyncQueue, Flow, InputError, Queue
from jobd.errors import NotThere
from tests.support.finishing import finish
from tests.support.redis_server import RedisServer
from tests.support.tables import assert_one_state_each


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("build", url=redis_server.url, prefix=prefix) as queue:
        yield queue


def tree() -> Flow:
    return Flow(
        "site", {"id": 7}, attempts=2, job_id="site-7",
        children=[
            Flow("page", {"n": 1}, queue="pages", if_failed="fail", children=[Flow("image", queue="images")]),
            Flow("page", {"n": 2}, queue="pages", priority=3, delay="1m"),
            Flow("index"),
        ],
    )  # fmt: skip


def shown(handle: Any) -> Any:
    return [handle.job.key.rsplit(":", 1)[0].split(":")[1], *map(shown, handle.children)]


def test_a_flow_is_added_whole(queue: Queue, r: redis.Redis, prefix: str) -> None:
    root = queue.add_flow(tree())
    assert shown(root) == ["build", ["pages", ["images"]], ["pages"], ["build"]]
    assert root.job.id == "site-7"
    assert r.zrange(f"{prefix}:build:waiting-children", 0, -1) == ["site-7"]
    page, later, index = root.children
    assert r.smembers(f"{root.job.key}:dependencies") == {page.job.key, later.job.key, index.job.key}
    assert r.zrange(f"{prefix}:pages:waiting-children", 0, -1) == [page.job.id]
    assert r.lrange(f"{prefix}:images:wait", 0, -1) == [page.children[0].job.id]
    assert r.hget(page.job.key, "parent") == f'{{"id":"site-7","queueKey":"{prefix}:build","fpof":true}}'
    for name in ("build", "pages", "images"):
        assert_one_state_each(r, prefix, name)


def test_asyncio_adds_the_same(queue: Queue, redis_server: RedisServer, prefix: str) -> None:
    async def main() -> Any:
        async with AsyncQueue("build", url=redis_server.url, prefix=prefix) as other:
            handle = await other.add_flow(tree())
            values = await other.children_values("site-7"), await other.ignored_children_failures("site-7")
            return shown(handle), values

    assert asyncio.run(main()) == (["build", ["pages", ["images"]], ["pages"], ["build"]], ({}, {}))


def test_a_childs_handle_waits_for_its_result(queue: Queue, r: redis.Redis) -> None:
    root = queue.add_flow(Flow("site", children=[Flow("page", queue="pages")]))
    child = root.children[0].job
    finish(r, child._queue.keys, child.id, result='{"ok":1}')
    assert child.wait(10) == {"ok": 1}


def test_a_job_becomes_the_child_of_a_handle_or_of_a_named_parent(queue: Queue, r: redis.Redis, prefix: str) -> None:
    root = queue.add_flow(Flow("site", children=[Flow("page")]))
    with Queue("pages", url=queue.source.url, prefix=prefix) as pages:
        one = pages.add("page", parent=root.job, if_failed="ignore")
        two = pages.add("page", parent={"id": root.job.id, "queue": f"{prefix}:build"})
        (three,) = pages.add_many([("page", {}, {"parent": root.job})])
    dependencies = r.smembers(f"{root.job.key}:dependencies")
    assert {one.key, two.key, three.key} < dependencies
    assert r.hget(one.key, "opts") == (
        f'{{"attempts":0,"parent":{{"id":"{root.job.id}","queue":"{prefix}:build"}},"idof":true}}'
    )


def test_a_parent_that_does_not_exist_is_told_and_nothing_is_written(queue: Queue, r: redis.Redis, prefix: str) -> None:
    missing = {"id": "nobody", "queue": f"{prefix}:build"}
    for add in (
        lambda: queue.add("page", parent=missing),
        lambda: queue.add_many([("page", {}, {"parent": missing})]),
        lambda: queue.add_flow(Flow("site", parent=missing, children=[Flow("page")])),
    ):
        with pytest.raises(NotThere, match=f'its parent "{prefix}:build:nobody" does not exist'):
            add()
    assert not r.keys(f"{prefix}:*")


def test_a_child_of_another_parent_stays_with_it(queue: Queue) -> None:
    queue.add_flow(Flow("site", children=[Flow("page", job_id="shared")]))
    other = queue.add_flow(Flow("site", children=[Flow("page", job_id="shared"), Flow("page")]))
    assert [child.refused for child in other.children] == [True, False]
    with pytest.raises(InputError, match="the child of another one"):
        queue.add("page", job_id="shared", parent=other.job)


@pytest.mark.parametrize(
    ("flow", "told"),
    [
        (Flow("site", children=[Flow("page", attemps=3)]), 'job "page" of the flow: unknown option "attemps"'),  # type: ignore[call-arg]
        (Flow("site", children=[Flow("page", if_failed="cry")]), "one of fail, continue, ignore, remove"),
        (Flow("site", children=[Flow("page", deduplicate="d")]), "deduplicate cannot be used in a flow"),
        (Flow("site", children=[Flow("page", parent={"id": "1", "queue": "a:b"})]), "its parent is the job above it"),
        (Flow("site", children=[Flow("page", queue="a:b")]), 'queue name "a:b"'),
        (Flow("site", children=[Flow("page", {1, 2})]), "data is a set"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    queue: Queue, r: redis.Redis, prefix: str, flow: Flow, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        queue.add_flow(flow)
    assert not r.keys(f"{prefix}:*")


def test_a_flow_that_contains_itself_is_refused(queue: Queue) -> None:
    flow = Flow("site")
    flow.children.append(flow)
    with pytest.raises(InputError, match="contains itself"):
        queue.add_flow(flow)


def test_a_deep_and_wide_tree_is_one_step(queue: Queue, r: redis.Redis, prefix: str) -> None:
    flow = Flow("leaf")
    for _ in range(30):
        flow = Flow("node", children=[flow, *(Flow("leaf") for _ in range(10))])
    queue.add_flow(flow)
    assert queue.counts()["waiting-children"] == 30
    assert queue.counts()["waiting"] == 301
    assert_one_state_each(r, prefix, "build")
