"""Pages of a listing: each begins where the last one ended, in BullMQ's order, and none looks at more than it must."""

from __future__ import annotations

import functools
import operator
import time
from typing import Any

import pytest
import redis

from jobd.engine.keys import Keys
from jobd.errors import InputError
from tests.support.operations import perform
from tests.support.redis_server import RedisServer


class Listed:
    """A queue full of bare jobs, and its pages."""

    def __init__(self, r: redis.Redis, url: str, prefix: str) -> None:
        self._r = r
        self._url = url
        self._prefix = prefix
        self._keys = Keys(prefix, "email")
        r.hset(self._keys.meta, "opts.maxLenEvents", 10000)

    def put(self, ids: range, state: str, *, name: str = "n") -> None:
        """Put jobs into a state; the higher the id, the later."""
        now = int(time.time() * 1000) - 1_000_000
        pipe = self._r.pipeline()
        for number in ids:
            pipe.hset(self._keys.job(str(number)), mapping={"name": name, "data": "{}", "timestamp": now + number})
            if state == "waiting":
                pipe.lpush(self._keys.wait, number)
            else:
                pipe.zadd(getattr(self._keys, state), {str(number): now + number})
        pipe.execute()

    def put_bytes(self, job_id: bytes, state: str) -> None:
        """Put a job of this id into a state."""
        self._r.hset(self._keys.base.encode() + job_id, mapping={"name": "n", "data": "{}"})
        self._r.zadd(getattr(self._keys, state), {job_id: 1})

    def page(self, after: str = "", **filters: Any) -> Any:
        """Return one page."""
        return perform(self._url, self._prefix, "job.list", queue="email", after=after, **filters)

    def pages(self, **filters: Any) -> list[list[str]]:
        """Return the ids of all pages."""
        found, after = [], ""
        while True:
            page = self.page(after, **filters)
            found.append([job["id"] for job in page["jobs"]])
            if page["next"] is None:
                return found
            after = page["next"]


@pytest.fixture
def listed(r: redis.Redis, redis_server: RedisServer, prefix: str) -> Listed:
    return Listed(r, redis_server.url, prefix)


def test_pages_of_fifty_the_next_to_run_first(listed: Listed) -> None:
    listed.put(range(120), "waiting")
    pages = listed.pages(state="waiting")
    assert [len(page) for page in pages] == [50, 50, 20]
    assert functools.reduce(operator.iadd, pages, []) == [str(number) for number in range(120)]


def test_finished_jobs_come_latest_first(listed: Listed) -> None:
    listed.put(range(70), "failed")
    assert functools.reduce(operator.iadd, listed.pages(state="failed"), []) == [
        str(number) for number in reversed(range(70))
    ]


def test_a_page_goes_on_into_the_next_state(listed: Listed) -> None:
    listed.put(range(30), "waiting")
    listed.put(range(30, 60), "failed")
    pages = listed.pages()
    assert [len(page) for page in pages] == [50, 10]
    assert functools.reduce(operator.iadd, pages, []) == [*map(str, range(30)), *map(str, reversed(range(30, 60)))]


def test_a_full_last_page_has_no_next(listed: Listed) -> None:
    listed.put(range(50), "waiting")
    assert listed.page(state="waiting")["next"] is None


def test_an_id_that_is_no_text_hides_no_other(listed: Listed) -> None:
    listed.put(range(2), "failed")
    listed.put_bytes(b"\xff\xfe", "failed")
    assert sorted(job["id"] for job in listed.page(state="failed")["jobs"]) == ["0", "1", "\ufffd\ufffd"]


def test_what_is_shown_is_all_that_is_read(listed: Listed) -> None:
    listed.put(range(3000), "waiting")
    assert listed.page(state="waiting")["looked"] == 50


def test_a_filter_that_fits_nothing_ends_its_page_after_a_thousand_or_more(listed: Listed) -> None:
    listed.put(range(30_000), "failed", name="other")
    listed.put(range(30_000, 30_010), "waiting")
    page = listed.page(state="failed", name="nobody")
    assert page["jobs"] == []
    assert 1000 <= page["looked"] < 30_000
    assert page["next"] == f"failed:{page['looked']}"


def test_a_filter_finds_what_lies_behind_many_others(listed: Listed) -> None:
    listed.put(range(950), "failed", name="other")
    listed.put(range(950, 955), "completed", name="wanted")
    assert functools.reduce(operator.iadd, listed.pages(name="wanted"), []) == ["954", "953", "952", "951", "950"]
    assert listed.page(name="wanted")["looked"] == 955


@pytest.mark.parametrize("after", ["failed", "failed:x", "nothing:1", "failed:-1", "waiting:0"])
def test_what_is_no_place_in_these_states_is_refused(listed: Listed, after: str) -> None:
    listed.put(range(3), "failed")
    with pytest.raises(InputError, match="after"):
        listed.page(after, state="failed")


def test_queues_that_are_named_are_told_without_looking_for_others(
    listed: Listed, r: redis.Redis, redis_server: RedisServer, prefix: str
) -> None:
    before = r.info("commandstats").get("cmdstat_scan", {}).get("calls", 0)
    found = perform(redis_server.url, prefix, "queue.list", queues=["email", "nobody"])["queues"]
    assert [row["name"] for row in found] == ["email"]
    assert r.info("commandstats").get("cmdstat_scan", {}).get("calls", 0) == before


def test_the_last_hours_are_what_bullmqs_workers_counted(
    listed: Listed, r: redis.Redis, redis_server: RedisServer, prefix: str
) -> None:
    now = int(time.time() * 1000)
    r.hset(f"{prefix}:email:metrics:completed", mapping={"count": 9, "prevTS": now, "prevCount": 7})
    r.rpush(f"{prefix}:email:metrics:completed:data", 4, 3)
    r.hset(f"{prefix}:email:metrics:failed", mapping={"count": 1, "prevTS": now, "prevCount": 0})
    (found,) = perform(redis_server.url, prefix, "history", queues=["email", "nobody"])["queues"]
    assert (found["source"], found["done"][:2]) == ("bullmq", [3.0, 4.0])
    assert (sum(found["done"]), sum(found["failed"])) == (10.0, 1.0)
