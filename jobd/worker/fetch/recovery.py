"""What a lost reply leaves: results that may be in Redis or not, and jobs this worker holds and does not know about.

A turn is never sent again whole: what it took, it would take twice. First the results go again, without a take; then
the jobs are looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine.codes import SETTLED, Code
from jobd.engine.locks import active_ids, adopt_jobs, last_take, renew_locks
from jobd.errors import JobdError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobd.engine.job import Taken
    from jobd.worker.fetch.connection import Connection
    from jobd.worker.fetch.notes import Notes
    from jobd.worker.fetch.turns import Holder, Turn, Turns
    from jobd.worker.run.attempt import Attempt


class LostResults:
    """Results of lost turns, each turn's by itself, until they are known to be in Redis."""

    def __init__(self, turns: Turns, notes: Notes) -> None:
        self._turns = turns
        self._notes = notes
        self._attempts: list[list[Attempt]] = []

    @property
    def unsettled(self) -> bool:
        """Whether something was sent that may not have arrived, notes too."""
        return bool(self._attempts or self._notes.unconfirmed)

    def add(self, turns: list[Turn]) -> None:
        """The replies to these turns are lost."""
        for lost in turns:
            self._notes.lost(lost.notes)
            if lost.attempts:
                self._attempts.append(lost.attempts)

    async def send(self, connection: Connection) -> None:
        """Send what lost turns were to bring, without a take.

        Raises:
            RedisUnavailable, RedisRefused: all of it is kept, and goes again the next time.
        """
        commands, notes = self._notes.next()
        calls, lost = len(commands), list(self._attempts)
        commands += [self._turns.without_take(attempts) for attempts in lost]
        if not commands:
            return
        try:
            results = await connection.run(*commands, may_refuse=calls)
        except JobdError:
            self._notes.lost(notes)
            raise
        self._notes.answered(results[:calls], notes)
        del self._attempts[: len(lost)]
        for attempts, reply in zip(lost, results[calls:], strict=True):
            self._turns.settle(attempts, _settled_or_code(reply.codes))


def _settled_or_code(codes: Sequence[int]) -> list[int]:
    """Return the answers to results that were sent twice: 0 where the attempt is over, unless another has the job."""
    return [0 if code in SETTLED and code != Code.LOCK_OF_ANOTHER else code for code in codes]


async def adopt(connection: Connection, holder: Holder, *, held: Collection[str], lock_ms: int) -> list[Taken]:
    """Return the jobs that a lost reply gave to this worker, oldest first; all its locks are renewed.

    Such a job has nobody who renews its lock, so the lock may have run out while Redis was away. It is found by the
    name that its taker left, and is still this worker's when nobody has taken it since.

    Args:
        held: ids of the jobs it knows about.
    Raises:
        RedisUnavailable, RedisRefused: nothing is adopted; the same call later gives the same jobs.
    """
    keys, prefix = holder.keys, holder.token_prefix
    (active,) = await connection.run(active_ids(keys))
    unknown = [job_id for job_id in active if job_id not in held]
    takes = await connection.run(*(last_take(keys, job_id) for job_id in unknown)) if unknown else []
    mine = [
        (job_id, f"{prefix}{ats}") for job_id, (name, ats) in zip(unknown, takes, strict=True) if name == holder.name
    ]
    if mine:
        await connection.run(renew_locks(keys, mine, lock_ms))
    jobs: list[Taken]
    (jobs,) = await connection.run(adopt_jobs(keys, prefix, held, lock_ms))
    return jobs
