"""Keep the locks of running jobs, from outside the process that runs them.

Why: docs/processes.md, "Why the daemon renews locks".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jobd.daemon.duties.duty import NOTHING_DUE_S, Duty, raise_refusal
from jobd.daemon.logs import event_log
from jobd.daemon.processes.exit_status import Ending
from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.engine.locks import renew_locks, renew_prefix
from jobd.errors import RedisRefused
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.worker_state import Worker
    from jobd.engine.runner import AsyncRunner, Command
    from jobd.protocol.board import SlotView

log = event_log(__name__)

REFUSED_S = 0.25
"""Until the next try when Redis has refused a renewal."""

CANCELLED_S = 0.02
"""Until a job that was cancelled is told of it: the marks of many are found together."""

SHORTEST_S = 0.01
"""The shortest pause: queues due a moment after each other are renewed together."""

_LOST = frozenset({Code.LOCK_OF_ANOTHER, Code.MISSING_LOCK})


@dataclass(slots=True)
class _Share:
    """What one worker's board asks to be renewed; `views` and the tokens of the command are in the same order."""

    pool: Pool
    worker: Worker
    views: list[SlotView]


class Renew(Duty):
    """At a third of `lock_duration`: all running jobs of all workers of the queues that are due, in one round trip.

    Which jobs run is read from the boards. A worker that has not read the reply to its last turn for longer (a C call
    holds its GIL) may hold jobs that its board does not show yet: its locks are found by their token prefix.
    """

    name = "renew"
    refused_pause_s = REFUSED_S

    def __init__(
        self,
        fleet: Fleet,
        runner: AsyncRunner,
        on_redis: Callable[[str, str | None], None],
        count: Callable[[str, int, int], None] = lambda queue, renewed, lost: None,
    ) -> None:
        """Prepare. `count` is told how many locks of a queue were renewed, and how many are lost."""
        super().__init__(on_redis)
        self._count = count
        self._fleet = fleet
        self._runner = runner
        self._renewed_at: WeakKeyDictionary[Pool, float] = WeakKeyDictionary()
        self._killers: dict[tuple[Worker, int, int], asyncio.TimerHandle] = {}
        fleet.look_for_cancelled = self.look_at

    async def run_once(self) -> float:
        """Renew what is held; cancel what was lost."""
        replies, _ = await self._renew(self._due_workers(self._fleet.clock.monotonic()))
        raise_refusal(replies)
        return self._pause()

    async def renew_now(self, queues: Collection[str]) -> set[str]:
        """Renew what these queues' workers hold, due or not; return the queues of which Redis refused it."""
        _, refused = await self._renew(
            [(pool, worker) for pool, worker in self._fleet.workers() if pool.name in queues]
        )
        return {pool.name for pool in refused}

    async def _renew(self, due: list[tuple[Pool, Worker]]) -> tuple[list[Any], set[Pool]]:
        """Do it for these workers; return all answers, and the queues that have a refusal among theirs."""
        shares: list[_Share] = []
        commands: list[Command[list[int | str]]] = []
        scans: list[tuple[Pool, Command[list[str]]]] = []
        now = self._fleet.clock.monotonic()
        for pool, worker in due:
            if worker.board is None or not worker.is_up:
                continue
            keys = Keys(self._fleet.source.prefix, pool.name)
            lock_ms = pool.queue.lock_duration_ms
            prefix = self._fleet.token_prefix(worker)
            views = worker.slots()
            known = [view for view in views if view.job_id is not None]
            sent_at = worker.board.turn_sent_at
            # Taken and not begun: while one handler holds the GIL, the others of its turn wait for their first line.
            not_begun = sum(view.state is SlotState.RUNNING for view in views) < worker.board.busy
            if len(known) < len(views) or not_begun or (sent_at and now - sent_at > lock_ms / 3000):
                scans.append((pool, renew_prefix(keys, prefix, lock_ms)))
            if known:
                shares.append(_Share(pool, worker, known))
                commands.append(renew_locks(keys, [(str(v.job_id), f"{prefix}{v.ats}") for v in known], lock_ms))
        # One pipeline; the answers to the scans come last and say nothing that is needed.
        replies: list[Any] = await self._runner.run_each([*commands, *(scan for _, scan in scans)])
        asked = [share.pool for share in shares] + [pool for pool, _ in scans]
        refused = {pool for pool, reply in zip(asked, replies, strict=True) if isinstance(reply, RedisRefused)}
        for share, codes in zip(shares, replies, strict=False):
            if not isinstance(codes, RedisRefused):
                self._look_at(share, codes)
        for pool, worker in due:
            if pool not in refused:
                self._renewed_at[pool] = now
                if worker.board is not None:
                    worker.board.renewed(now)
        return replies, refused

    def look_at(self, queue: str) -> None:
        """Renew this queue's locks soon: a job of it was cancelled, and its mark is seen then."""
        for pool in self._fleet.all_pools():
            if pool.name == queue:
                self._renewed_at.pop(pool, None)
        self.look_within(CANCELLED_S)

    def _due_workers(self, now: float) -> list[tuple[Pool, Worker]]:
        """Every worker whose queue was not renewed for a third of its `lock_duration`."""
        # A tenth early: queues that are due a little later than the first share its round trip.
        return [
            (pool, worker)
            for pool, worker in self._fleet.workers()
            if now - self._renewed_at.get(pool, 0.0) >= pool.queue.lock_duration_ms / 3000 * 0.9
        ]

    def _pause(self) -> float:
        """Return the seconds until the next queue is due: what a worker took right after a look has 2/3 of its lock."""
        now = self._fleet.clock.monotonic()
        rests = [
            self._renewed_at.get(pool, now) + pool.queue.lock_duration_ms / 3000 - now
            for pool, _ in self._fleet.workers()
        ]
        return max(SHORTEST_S, min([NOTHING_DUE_S, *rests]))

    def _look_at(self, share: _Share, codes: list[int | str]) -> None:
        lost = 0
        for view, code in zip(share.views, codes, strict=True):
            reason = code if isinstance(code, str) else None
            if (reason is not None or code in _LOST) and self._still_runs(share.worker, view):
                told = self._stop(share, view, reason)
                lost += told and reason is None
        self._count(share.pool.name, sum(code not in _LOST for code in codes), lost)

    def _still_runs(self, worker: Worker, seen: SlotView) -> bool:
        """Whether the job was not simply finished between the look at the board and Redis' answer."""
        if worker.board is None or not worker.is_up:
            return False
        view = worker.board.slot(seen.slot)
        return (
            view is not None and view.state is SlotState.RUNNING and (view.job_id, view.ats) == (seen.job_id, seen.ats)
        )

    def _stop(self, share: _Share, view: SlotView, reason: str | None) -> bool:
        """Tell the worker, once, that a job of it must not go on: cancelled for a reason, or its lock is another's.

        False when that was done before.
        """
        key = (share.worker, view.slot, view.ats)
        if key in self._killers:
            return False
        where: dict[str, Any] = {"queue": share.pool.name, "pid": share.worker.pid, "job": view.job_id}
        if reason is None:
            log.warning("lock lost, job cancelled", **where)
        else:
            log.info("running job cancelled", **where, reason=reason)
        share.worker.cancel(view.slot, str(view.job_id), view.ats, reason)
        # The worker shows the same moment on its board, unless its loop stands still.
        patience_s = share.pool.queue.kill_after_ms / 1000
        self._killers[key] = asyncio.get_running_loop().call_later(patience_s, self._kill, key, view, reason)
        return True

    def _kill(self, key: tuple[Worker, int, int], view: SlotView, reason: str | None) -> None:
        del self._killers[key]
        worker = key[0]
        if not self._still_runs(worker, view):
            return
        if reason is None:
            log.warning("job whose lock is lost does not stop, worker killed", pid=worker.pid, job=view.job_id)
            worker.kill(Ending.LOCK_LOST, f"job {view.job_id} lost its lock and did not stop")
        else:
            log.warning("cancelled job does not stop, worker killed", pid=worker.pid, job=view.job_id)
            worker.overdue = [view]
            worker.kill(Ending.CANCELLED, f"job {view.job_id} was cancelled and did not stop")
