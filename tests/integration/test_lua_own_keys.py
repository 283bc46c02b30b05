"""A foreign producer can name a job like a key of the queue: that costs the id its place, and the queue nothing."""

from __future__ import annotations

import pytest

from jobd.engine.admin import cancel_job, promote_job, remove_job, retry_job
from jobd.engine.codes import Code
from jobd.engine.job import KeyLimit
from jobd.engine.job_changes import change_delay, change_priority, update_data
from jobd.engine.options import _OWN_FAMILIES, _OWN_KEYS, _WHOLE_FAMILIES, check_job_id, is_own_key
from jobd.errors import InputError
from tests.support.queue_of import NOW, QueueOf

NAMES = sorted([
    *_OWN_KEYS,
    *(f"{family}:x" for family in _OWN_FAMILIES | _WHOLE_FAMILIES),
    *(f"{family}:x:y" for family in _WHOLE_FAMILIES),
])  # fmt: skip

HASHES = ("meta", "metrics:x", "jobd:x", "jobd-keys", "dn:x")


@pytest.mark.parametrize("own", NAMES)
def test_no_producer_may_choose_the_name_of_a_key(own: str) -> None:
    assert is_own_key(own)
    with pytest.raises(InputError, match=r"key of the queue|exactly three parts"):
        check_job_id(own)


@pytest.mark.parametrize("limit", [None, KeyLimit("tenant", 1)], ids=["plain", "per key"])
@pytest.mark.parametrize("where", ["wait", "prioritized", "delayed"])
@pytest.mark.parametrize("own", NAMES)
def test_an_id_that_is_the_name_of_a_key_is_dropped_and_the_key_unchanged(
    q: QueueOf, own: str, where: str, limit: KeyLimit | None
) -> None:
    q.put("1")
    for name in HASHES:
        q.r.hset(q.keys.base + name, "of the queue", "x")
    if where == "delayed":
        q.r.zadd(q.keys.delayed, {own: (NOW - 1) * 4096})
    elif where == "prioritized":
        q.r.zadd(q.keys.prioritized, {own: 1})
    else:
        q.r.rpush(q.keys.wait, own)
    before = {name: q.r.hgetall(q.keys.base + name) for name in HASHES}
    assert q.ids(3, per_key=limit) == ["1"]
    assert not q.ids(3, per_key=limit, prefix="other:w:")
    assert {name: q.r.hgetall(q.keys.base + name) for name in HASHES} == before
    assert q.r.lrange(q.keys.active, 0, -1) == ["1"]
    q.put("2")
    assert q.ids(per_key=limit) == ["2"]


@pytest.mark.parametrize("job_id", ["waiting", "metadata", "a:b:c", "repeat:nightly:1795486443666"])
def test_an_id_that_only_looks_like_one_is_a_job(q: QueueOf, job_id: str) -> None:
    assert not is_own_key(job_id)
    q.put(job_id)
    # Whatever is the first of its fields.
    q.r.hdel(q.keys.job(job_id), "name")
    q.r.hset(q.keys.job(job_id), "name", "n")
    assert q.ids() == [job_id]


@pytest.mark.parametrize("own", ["meta", "wait", "metrics:completed"])
def test_nobody_changes_a_key_of_the_queue_as_a_job(q: QueueOf, own: str) -> None:
    q.put("1")
    q.r.hset(f"{q.keys.base}metrics:completed", "count", "3")
    before = q.tables()
    commands = [
        retry_job(q.keys, own), promote_job(q.keys, own), remove_job(q.keys, own),
        cancel_job(q.keys, own, who="me", now_ms=NOW), change_delay(q.keys, own, delay_ms=5, now_ms=NOW),
        change_priority(q.keys, own, priority=2),
    ]  # fmt: skip
    assert {q.run(command) for command in commands} == {Code.MISSING_JOB}
    assert q.run(update_data(q.keys, own, b"{}")) == [Code.MISSING_JOB]
    assert not q.changed_since(before)
