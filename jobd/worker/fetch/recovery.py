"""What a lost reply leaves: results that may be in Redis or not, and jobs this worker holds and does not know about.

A turn is never sent again whole: what it took, it would take twice. First the results go again, without a take; then
the jobs are looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine.codes import SETTLED
from jobd.engine.locks import active_ids, adopt_jobs, last_take, renew_locks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobd.engine.job import Taken
    from jobd.engine.keys import Keys
    from jobd.worker.fetch.connection import Connection


def settled_or_code(codes: Sequence[int]) -> list[int]:
    """Return the answers to results that were sent twice: 0 where the attempt is over, for us or for another."""
    return [0 if code in SETTLED else code for code in codes]


async def adopt(
    connection: Connection, keys: Keys, who: tuple[str, str], *, held: Collection[str], lock_ms: int
) -> list[Taken]:
    """Return the jobs that a lost reply gave to this worker, oldest first; all its locks are renewed.

    Such a job has nobody who renews its lock, so the lock may have run out while Redis was away. It is found by the
    name that its taker left, and is still this worker's when nobody has taken it since.

    Args:
        who: the name and the token prefix of this worker.
        held: ids of the jobs it knows about.
    Raises:
        RedisUnavailable, RedisRefused: nothing is adopted; the same call later gives the same jobs.
    """
    worker_name, token_prefix = who
    (active,) = await connection.run(active_ids(keys))
    unknown = [job_id for job_id in active if job_id not in held]
    takes = await connection.run(*(last_take(keys, job_id) for job_id in unknown)) if unknown else []
    mine = [
        (job_id, f"{token_prefix}{ats}")
        for job_id, (name, ats) in zip(unknown, takes, strict=True)
        if name == worker_name
    ]
    if mine:
        await connection.run(renew_locks(keys, mine, lock_ms))
    jobs: list[Taken]
    (jobs,) = await connection.run(adopt_jobs(keys, token_prefix, held, lock_ms))
    return jobs
