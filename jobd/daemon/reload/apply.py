"""Carry out the steps of a plan: the switch, which nobody sees half done, and then the replacing, pool by pool."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jobd.daemon import logs
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_spec import template_key
from jobd.daemon.reload.plan import renews_connections
from jobd.daemon.views import Action
from jobd.duration import format_duration
from jobd.protocol.board import SlotState
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobd.config.model import Config, Queue
    from jobd.daemon.current_config import CurrentConfig
    from jobd.daemon.processes.fleet import Fleet, Loss
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.template_store import TemplateStore
    from jobd.daemon.processes.worker_state import Worker
    from jobd.daemon.reload.trial import Imports, TrialWorker
    from jobd.daemon.views import Step

AT_ONCE = 8
"""Pools that replace workers at the same time, each of them one worker after the other."""

_QUIETED_LIMIT_S = 5.0
"""How long a worker that was let go may take to say that it starts nothing more; a turn takes milliseconds."""

_CUT_OFF = frozenset({Ending.ASKED, Ending.TEMPLATE_DIED})
"""Ends that are the daemon's doing; a draining worker whose handler crashes or overruns its time would have anyway."""


class Apply:
    """The last part of one reload. `switch` once, then `replace`."""

    def __init__(
        self, current_config: CurrentConfig, fleet: Fleet, templates: TemplateStore, *, say: Callable[[str, str], None],
        renew_connections: Callable[[], None],
    ) -> None:  # fmt: skip
        """Prepare. `say(queue, text)` is told what was done; `renew_connections` has all use new credentials."""
        self._in_force = current_config
        self._fleet = fleet
        self._templates = templates
        self._say = say
        self._renew_connections = renew_connections
        self._rolls: list[tuple[Pool, int]] = []
        self._fills: list[Pool] = []
        self._leaves: set[Worker] = set()
        self.interrupted = 0
        """Jobs cut off because their worker had to go for this reload."""

    def switch(
        self, wanted: Config, steps: Iterable[Step], imports: Imports, trials: Mapping[str, TrialWorker]
    ) -> None:
        """Run by the wanted configuration from now on; nothing is awaited, so nobody meets half of it."""
        generation = self._in_force.accept(wanted)
        self._fleet.config = wanted
        logs.configure(wanted.daemon.log_format, wanted.daemon.log_level)
        imports.install()
        queues = self._in_force.selected(wanted)
        steps = list(steps)
        for step in steps:
            if step.queue:
                self._switch_queue(step, queues.get(step.queue), trials.get(step.queue), generation)
        self._templates.retire_others(template_key(queue) for queue in queues.values())
        if renews_connections(steps):
            self._renew_connections()
            self._say("redis", "connections renewed with the new credentials")

    async def replace(self) -> None:
        """Return when every pool has the workers it is to have, or cannot get them now."""
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for pool, total in self._rolls:
                group.create_task(self._roll(room, pool, total))
            for pool in self._fills:
                group.create_task(self._filled(pool))
        await self._until_old_start_nothing()

    def lost(self, loss: Loss) -> None:
        """A worker has ended: count what it had not finished, if it had to go for this reload."""
        if loss.worker not in self._leaves:
            return
        self._leaves.discard(loss.worker)
        if loss.worker.ending in _CUT_OFF:
            self.interrupted += sum(view.state is SlotState.RUNNING for view in loss.worker.slots())

    # --- the switch --------------------------------------------------------------------------------------------------

    def _switch_queue(self, step: Step, queue: Queue | None, trial: TrialWorker | None, generation: int) -> None:
        pools = self._fleet.pools
        if queue is None:
            pool = pools.pop(step.queue)
            self._leaves.update(pool.workers())
            self._fleet.drained_pools.append(pool)
            pool.remove(generation)
            self._say(step.queue, _draining(pool))
        elif trial is None:
            self._switch_in_place(step, pools[step.queue], queue, generation)
        else:
            pool = trial.pool
            is_new = queue.name not in pools
            pools[queue.name] = pool
            self._leaves.update(pool.workers())
            before = sum(1 for worker in pool.workers() if worker.takes_jobs)
            pool.reconfigure(queue, generation)
            pool.adopt(trial.worker)
            if is_new:
                pool.fill()
                self._fills.append(pool)
            else:
                self._rolls.append((pool, max(before, 1)))

    def _switch_in_place(self, step: Step, pool: Pool, queue: Queue, generation: int) -> None:
        before, workers = pool.wanted, set(pool.workers())
        pool.apply_in_place(queue, generation)
        self._leaves.update(workers.intersection(pool.leaving))
        if step.action is Action.KEEP:
            return  # it keeps its workers, and what they are busy with is not waited for
        if pool.wanted > before:
            self._fills.append(pool)
        self._say(step.queue, step.what)

    async def _until_old_start_nothing(self) -> None:
        """Return when no job will start any more in a worker that was let go.

        Whoever adds a job after the reload has answered means the new code. A worker whose loop a handler holds cannot
        say so; it is not waited for beyond a limit, and named.
        """
        end = self._fleet.clock.monotonic() + _QUIETED_LIMIT_S
        while left := [worker for worker in self._leaves if worker.may_start_a_job]:
            rest = end - self._fleet.clock.monotonic()
            if rest <= 0:
                for worker in left:
                    self._say(worker.queue, f"worker {worker.pid} is busy and may start one more job on the old code")
                return
            await self._fleet.changed(rest)

    # --- the replacing -----------------------------------------------------------------------------------------------

    async def _roll(self, room: asyncio.Semaphore, pool: Pool, total: int) -> None:
        self._say(pool.name, f"1/{total} replaced")
        async with room:
            await pool.roll(lambda count: self._say(pool.name, f"{count + 1}/{total} replaced"))
        pool.fill()
        if pool.hold.is_on:
            self._say(pool.name, f"held back: {pool.hold.reason.splitlines()[0]}")

    async def _filled(self, pool: Pool) -> None:
        await pool.filled()
        ready = sum(1 for worker in pool.workers() if worker.takes_jobs)
        if ready >= pool.wanted:
            self._say(pool.name, f"{plural(ready, 'worker')} ready")
        else:
            why = pool.hold.reason.splitlines()[0] if pool.hold.is_on else "a restart is due later"
            self._say(pool.name, f"{ready} of {plural(pool.wanted, 'worker')} ready: {why}")


def _draining(pool: Pool) -> str:
    jobs = [view for worker in pool.workers() for view in worker.slots()]
    if not jobs:
        return "removed"
    now = time.monotonic()
    named = "; ".join(
        f"{view.job_id or view.name}, {format_duration(1000 * (now - view.started_at))}" for view in jobs[:3]
    )
    return f"draining, {plural(len(jobs), 'job')} left ({named})"
