"""lua/turn.lua, its first half: many finishes of one turn, and those of other workers among them in `active`."""

from __future__ import annotations

import pytest

from jobd.engine.states import Outcome
from tests.support.queue_of import PREFIX, QueueOf, done, ended


def test_first_and_later_attempts_end_together_each_by_its_own_token(q: QueueOf) -> None:
    for job_id in ("1", "2", "3"):
        q.put(job_id)
    (first,) = q.take()
    q.turn(ended(first, Outcome.RETRY, b"boom"))
    jobs = q.take(3)
    assert [job.token for job in jobs] == [f"{PREFIX}{ats}" for ats in (1, 1, 2)]
    assert q.turn(*(done(job, job.id.encode()) for job in jobs)).codes == [0, 0, 0]
    assert [(q.hash(each)["atm"], q.hash(each)["returnvalue"]) for each in "231"] == [
        ("1", "2"),
        ("1", "3"),
        ("2", "1"),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 2, 1)])
def test_a_batch_among_those_of_others_leaves_these_in_their_order(q: QueueOf, order: tuple[int, ...]) -> None:
    for number in range(12):
        q.put(f"j{number}")
    q.take(2, prefix="incarnation1:w2:")
    mine = q.take(2)
    q.take(3, prefix="incarnation1:w2:")
    mine += q.take(2)
    q.take(2, prefix="incarnation1:w2:")
    assert q.turn(*(done(mine[at]) for at in order)).codes == [0] * 4
    assert q.r.lrange(q.keys.active, 0, -1) == ["j10", "j9", "j6", "j5", "j4", "j1", "j0"]


def test_hundreds_of_finishes_in_any_order_of_two_workers_complete(q: QueueOf) -> None:
    for number in range(1_300):
        q.put(f"j{number}")
    mine = [job for _ in range(2) for job in q.take(325)]
    others = q.take(500, prefix="incarnation1:w2:")
    assert set(q.turn(*(done(job) for job in reversed(mine))).codes) == {0}
    assert set(q.turn(*(done(job) for job in others)).codes) == {0}
    assert q.r.zcard(q.keys.completed) == 1_150
    assert q.r.llen(q.keys.active) == 0


@pytest.mark.parametrize("gone", [set(), {"j5"}])
def test_finishes_from_among_those_of_other_workers_leave_the_others_in_their_order(q: QueueOf, gone: set[str]) -> None:
    for number in range(12):
        q.put(f"j{number}")
    mine = [job for turn in range(6) for job in q.take(2, prefix=f"incarnation1:w{turn % 2}:")]
    for job_id in gone:
        q.r.lrem(q.keys.active, 0, job_id)
    left = [job_id for job_id in q.r.lrange(q.keys.active, 0, -1) if job_id not in ("j0", "j1", "j5", "j8")]
    reply = q.turn(*(done(job) for job in mine if job.id in ("j8", "j0", "j1", "j5")))
    assert reply.codes == [0, 0, -3 if gone else 0, 0]
    assert q.r.lrange(q.keys.active, 0, -1) == left
    assert q.r.zcard(q.keys.completed) == 4 - len(gone)
    for job_id in gone:
        q.r.delete(q.keys.job(job_id), q.keys.lock(job_id))
