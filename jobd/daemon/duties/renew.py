"""Keep the locks of running jobs, from outside the process that runs them (design.md, promise 2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.daemon.duties.duty import Duty
from jobd.daemon.exits import Ending
from jobd.daemon.logs import event_log
from jobd.engine.codes import Code
from jobd.engine.custody import renew_locks, renew_prefix
from jobd.engine.keys import Keys
from jobd.protocol.board import SlotState

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.fleet import Fleet
    from jobd.daemon.pools import Pool
    from jobd.daemon.process import Worker
    from jobd.engine.runner import AsyncRunner, Command
    from jobd.protocol.board import SlotView

log = event_log(__name__)

IDLE_S = 1.0
"""The pause while there is no worker: the next one is seen in time for the shortest lock anybody would write."""

_LOST = frozenset({Code.LOCK_OF_ANOTHER, Code.MISSING_LOCK})


@dataclass(slots=True)
class _Share:
    """What one worker's board asks to be renewed; `views` and the tokens of the command are in the same order."""

    pool: Pool
    worker: Worker
    views: list[SlotView]


class Renew(Duty):
    """At a third of the shortest `lock_duration`: all running jobs of all workers in one round trip.

    Which jobs run is read from the boards. A worker that has not read the reply to its last turn for longer (a C call
    holds its GIL) may hold jobs that its board does not show yet: its locks are found by their token prefix.
    """

    name = "renew"

    def __init__(self, fleet: Fleet, runner: AsyncRunner, on_redis: Callable[[str | None], None]) -> None:
        super().__init__(on_redis)
        self._fleet = fleet
        self._runner = runner
        self._killers: dict[tuple[Worker, int, int], asyncio.TimerHandle] = {}

    async def run_once(self) -> float:
        """Renew what is held; cancel what was lost."""
        shares: list[_Share] = []
        commands: list[Command[list[int]]] = []
        scans: list[Command[list[str]]] = []
        now = self._fleet.clock.monotonic()
        for pool, worker in self._fleet.workers():
            if worker.board is None or not worker.is_up:
                continue
            keys = Keys(self._fleet.source.prefix, pool.name)
            lock_ms = pool.queue.lock_duration_ms
            prefix = self._fleet.token_prefix(worker)
            views = worker.slots()
            known = [view for view in views if view.job_id is not None]
            sent_at = worker.board.turn_sent_at
            if len(known) < len(views) or (sent_at and now - sent_at > lock_ms / 3000):
                scans.append(renew_prefix(keys, prefix, lock_ms))
            if known:
                shares.append(_Share(pool, worker, known))
                commands.append(renew_locks(keys, [(str(v.job_id), f"{prefix}{v.ats}") for v in known], lock_ms))
        # One pipeline; the answers to the scans come last and say nothing that is needed.
        replies: list[Any] = await self._runner.run_many([*commands, *scans])
        for share, codes in zip(shares, replies, strict=False):
            self._look_at(share, codes)
        return self._pause()

    def _pause(self) -> float:
        lives = [pool.queue.lock_duration_ms for pool in self._fleet.all_pools()]
        return min(lives) / 3000 if lives else IDLE_S

    def _look_at(self, share: _Share, codes: list[int]) -> None:
        for view, code in zip(share.views, codes, strict=True):
            if code in _LOST and self._still_runs(share.worker, view):
                self._lost(share, view)

    def _still_runs(self, worker: Worker, seen: SlotView) -> bool:
        """Whether the job was not simply finished between the look at the board and Redis' answer."""
        if worker.board is None or not worker.is_up:
            return False
        view = worker.board.slot(seen.slot)
        return (
            view is not None and view.state is SlotState.RUNNING and (view.job_id, view.ats) == (seen.job_id, seen.ats)
        )

    def _lost(self, share: _Share, view: SlotView) -> None:
        key = (share.worker, view.slot, view.ats)
        if key in self._killers:
            return
        log.warning("lock lost, job cancelled", queue=share.pool.name, pid=share.worker.pid, job=view.job_id)
        share.worker.cancel(view.slot, str(view.job_id), view.ats)
        patience_s = share.pool.queue.kill_after_ms / 1000
        self._killers[key] = asyncio.get_running_loop().call_later(patience_s, self._kill, key, view)

    def _kill(self, key: tuple[Worker, int, int], view: SlotView) -> None:
        del self._killers[key]
        worker = key[0]
        if self._still_runs(worker, view):
            log.warning("job whose lock is lost does not stop, worker killed", pid=worker.pid, job=view.job_id)
            worker.kill(Ending.LOCK_LOST, f"job {view.job_id} lost its lock and did not stop")
