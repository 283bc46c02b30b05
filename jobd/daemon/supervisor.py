"""The supervisor: what runs, in which state, and the orders it takes from commands and signals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from jobd.config.scaling import scaled
from jobd.daemon.counters import Counters
from jobd.daemon.health import Health
from jobd.daemon.logs import event_log
from jobd.daemon.queue_views import Tally, queue_view
from jobd.daemon.reload.plan import Facts
from jobd.daemon.views import DaemonState, Order, QueueView, ReloadReport, Step, StopReport
from jobd.errors import JobdError, NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobd.clock import Clock
    from jobd.config.model import Config
    from jobd.daemon.current_config import CurrentConfig
    from jobd.daemon.incarnation import IncarnationRecord
    from jobd.daemon.processes.fleet import Fleet, Loss
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.template_store import TemplateStore
    from jobd.operations.documents.daemon import LastReload

log = event_log(__name__)

LOOP_LIMIT_S = 10.0
"""The daemon is live while its loop turned within this time."""


class Reloads(Protocol):
    """Who carries out reloads."""

    @property
    def interrupted(self) -> int:
        """Jobs that were cut off for the last one, until now."""
        ...

    async def reload(self, progress: Callable[[str], None], *, code: bool, who: str) -> ReloadReport:
        """Read the file again and apply it, or change nothing."""
        ...

    async def rehearse(self, path: Path | None) -> list[Step]:
        """Return what a reload would do."""
        ...

    def stop_came(self) -> None:
        """The daemon stops: end the running one, refuse later ones."""
        ...

    def worker_lost(self, loss: Loss) -> None:
        """A worker has ended."""
        ...


class Stops(Protocol):
    """Who carries out the stop."""

    @property
    def has_begun(self) -> bool:
        """Whether the daemon stops, or has stopped."""
        ...

    async def stop(self, grace_ms: int | None, now: bool, progress: Callable[[str], None]) -> StopReport:
        """Stop every worker; return when none of their processes is left."""
        ...

    def kill_all(self) -> None:
        """SIGKILL every worker now."""
        ...

    async def abandon(self) -> None:
        """End what still runs, without a report."""
        ...


class Announces(Protocol):
    """Who tells the service manager."""

    def reloading(self) -> None:
        """A reload began."""
        ...

    def ready(self, status: str = "") -> None:
        """It is over."""
        ...


class Supervisor:
    """Everything `jobd run` runs, from the control socket's point of view. None of it waits for Redis."""

    reloader: Reloads
    stopper: Stops

    def __init__(
        self,
        current_config: CurrentConfig,
        fleet: Fleet,
        templates: TemplateStore,
        record: IncarnationRecord,
        clock: Clock,
        *,
        announce: Announces,
    ) -> None:
        """Prepare; `take_helpers` before anything is ordered."""
        self.current_config = current_config
        self.started_at = clock.monotonic()
        self.clock = clock
        self.templates = templates
        self.record = record
        self.fleet = fleet
        self.fleet.on_loss = self._lost
        self.on_loss: Callable[[Loss], None] = lambda loss: None
        self.counters = Counters()
        self.health = Health(fleet)
        self.loop_beat_at = clock.monotonic()
        self._announce = announce
        self._reloads = 0
        self._last_reload: LastReload | None = None
        self._tallies: dict[str, Tally] = {}
        self._started = asyncio.Event()
        """The workers are being started, or a stop came before that."""
        self._ready_once = False

    def take_helpers(self, reloader: Reloads, stopper: Stops) -> None:
        """Take who carries out reloads and the stop."""
        self.reloader, self.stopper = reloader, stopper

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.current_config.config

    @property
    def generation(self) -> int:
        """Its number."""
        return self.current_config.generation

    @property
    def reloaded_at(self) -> float | None:
        """When the last reload was through; None before the first."""
        return self.current_config.reloaded_at

    @property
    def incarnation(self) -> str:
        """The id of this start: the first part of every token."""
        return self.record.id

    @property
    def stopping(self) -> bool:
        """Whether a stop has begun: nothing is started or tried any more."""
        return self.stopper.has_begun

    @property
    def state(self) -> DaemonState:
        """What the daemon is doing."""
        if self.stopping:
            return DaemonState.DRAINING
        if self.is_reloading:
            return DaemonState.RELOADING
        if not self.ready_once:
            return DaemonState.STARTING
        return DaemonState.DEGRADED if self.degraded_by() else DaemonState.READY

    @property
    def ready_once(self) -> bool:
        """Whether every queue has had a ready worker, or is held apart: then the start is over."""
        if self._started.is_set() and not self._ready_once:
            pools = self.fleet.pools.values()
            self._ready_once = all(pool.was_ready or pool.hold.is_on for pool in pools)
        return self._ready_once

    def live(self) -> tuple[bool, str | None]:
        """Tell whether the loop turns, and why not."""
        age = self.clock.monotonic() - self.loop_beat_at
        return (True, None) if age < LOOP_LIMIT_S else (False, f"the loop last turned {age:.0f}s ago")

    def ready(self) -> tuple[bool, str | None]:
        """Tell whether this host consumes, and why not."""
        if self.stopping:
            return False, "the daemon is draining"
        if not self.ready_once:
            return False, self._starting()
        problems = self.degraded_by()
        return (not problems, "; ".join(problems) or None)

    def degraded_by(self) -> list[str]:
        """Return what is not as it should be: `status` and `health` say the same."""
        return self.health.degraded_by(self.clock.monotonic())

    def views(self) -> list[QueueView]:
        """Return every queue of this host, removed ones that still drain last."""
        return [view for _, view in self.pools_and_views()]

    def pools_and_views(self) -> list[tuple[Pool, QueueView]]:
        """Return every queue of this host with its pool, as `views` does."""
        now = self.clock.monotonic()
        by_queue = self.fleet.pools_by_queue()
        return [
            (pool, queue_view(pool, by_queue[pool.name], self._tally(pool.name), now))
            for pool in self.fleet.all_pools()
        ]

    def runs(self, queue: str) -> tuple[int, int]:
        """Return how many runs of a queue ended since the start, and how many of them in an error."""
        pools = [pool for pool in self.fleet.all_pools() if pool.name == queue]
        return self._tallies[queue].runs(pools) if queue in self._tallies else (0, 0)

    def last_reload(self) -> LastReload | None:
        """Return what became of the last reload: whoever asked for it may have gone away, or was a signal."""
        if self._last_reload is None or not self._last_reload["applied"]:
            return self._last_reload
        return {**self._last_reload, "interrupted": self.reloader.interrupted}

    def code_changed(self) -> list[str]:
        """Return imported files that changed on disk since they were imported."""
        return self.templates.changed_files()

    # --- starting ----------------------------------------------------------------------------------------------------

    @property
    def is_reloading(self) -> bool:
        """Whether a reload is at work, or waits for another."""
        return self._reloads > 0

    @property
    def makes_progress(self) -> bool:
        """Whether something is on its way that has a limit of its own: imports, or a worker that starts."""
        return self.templates.is_loading or any(worker.is_starting for _, worker in self.fleet.workers())

    def start_workers(self) -> None:
        """Start the workers of every queue; returns at once."""
        self._started.set()
        self.fleet.make_room(self.current_config.selected(self.config).values())
        for queue in self.current_config.selected(self.config).values():
            pool = self.fleet.new_pool(queue, self.generation)
            self.fleet.pools[queue.name] = pool
            pool.fill()

    def beat(self) -> None:
        """The loop turns; called about once a second."""
        self.loop_beat_at = self.clock.monotonic()
        for name, pools in self.fleet.pools_by_queue().items():
            self._tally(name).sample(pools, self.loop_beat_at)

    # --- orders ------------------------------------------------------------------------------------------------------

    def quiet(self, queue: str | None, who: str, why: str | None = None) -> None:
        """Take no new jobs of a queue, or (None) of any, on this host: then not of one that a reload adds either.

        Raises:
            NotThere: this host does not run the queue.
        """
        order = Order(who, self.clock.monotonic(), why)
        pools = self._pools(queue)
        if queue is None:
            self.fleet.quieted_by = self.fleet.quieted_by or order
        for pool in pools:
            pool.quieted_by = pool.quieted_by or order
            pool.apply_quiet()
        log.info("quiet", queue=queue, by=who, why=why)

    def unquiet(self, queue: str | None, who: str) -> None:
        """Take jobs again; what the file holds quiet stays quiet.

        Raises:
            NotThere: this host does not run the queue.
            Refused: the file says `quiet = true` for it.
        """
        pools = self._pools(queue)
        if queue is not None and pools[0].queue.quiet and pools[0].quieted_by is None:
            place = self.config.place(("queues", queue, "quiet"))
            raise Refused(
                "queue-quiet-in-file", f'cannot unquiet "{queue}": {place} says quiet = true; change it there'
            )
        if queue is None:
            self.fleet.quieted_by = None
        for pool in pools:
            pool.quieted_by = None
            pool.apply_quiet()
        log.info("unquiet", queue=queue, by=who)

    def scale(self, queue: str, to: str | None, who: str, why: str | None = None) -> tuple[int, int]:
        """Run another number of workers until the file changes it; return (before, after).

        `to` is "5", "+1" or "-1" from the present number, None back to the file's.

        Raises:
            NotThere: this host does not run the queue.
            Refused: not a number of workers.
        """
        pool = self._pools(queue)[0]
        before = pool.wanted
        after = pool.autoscale.workers if to is None else scaled(before, to)
        pool.scaled_to = None if to is None or after == pool.queue.scaling.plain() else after
        pool.scaled_by = Order(who, self.clock.monotonic(), why)
        log.info("scaled", queue=queue, was=before, workers=after, by=who, why=why)
        pool.fill()
        return before, after

    def reset(self, queue: str, who: str) -> str | None:
        """Start the workers of a queue that is held back; return what held it, None when nothing did.

        Raises:
            NotThere: this host does not run the queue.
        """
        was = self._pools(queue)[0].reset()
        log.info("queue reset", queue=queue, by=who, was=was)
        return was

    def dump_stacks(self) -> None:
        """Have every worker write its stacks into the log."""
        for _, worker in self.fleet.workers():
            worker.dump_stacks()

    async def rehearse(self, path: Path | None) -> list[Step]:
        """Return what a reload would do (with this file, if given); raises what it would raise for the file."""
        return await self.reloader.rehearse(path)

    async def reload(self, code: bool, progress: Callable[[str], None], who: str) -> ReloadReport:
        """Read the file again and apply it, or change nothing; the outcome is kept for `status`.

        Raises:
            ConfigError: the file is wrong or a handler does not import (exit 78).
            Refused: a change that needs a restart, a trial worker that is not ready, or the daemon stops.
        """
        if not self._started.is_set():
            progress("waiting for the start")
            await self._started.wait()
        outcome: LastReload = {
            "by": who, "at_ms": self.clock.now_ms(), "applied": False, "error": None, "generation": 0, "interrupted": 0,
        }  # fmt: skip
        # READY=1 ends a reload for systemd; before the first one it would end the start.
        announce = self.ready_once
        if announce:
            self._announce.reloading()
        self._reloads += 1
        try:
            report = await self.reloader.reload(progress, code=code, who=who)
        except JobdError as error:
            self._last_reload = {**outcome, "generation": self.generation, "error": str(error)}
            self.counters.reload_ended(error)
            raise
        finally:
            self._reloads -= 1
            if announce and not self.stopping and not self._reloads:
                self._announce.ready()
        self._last_reload = {**outcome, "generation": report.generation, "applied": True}
        self.counters.reload_ended(None)
        return report

    async def stop(self, grace_ms: int | None, now: bool, progress: Callable[[str], None]) -> StopReport:
        """Stop every worker as told; return when none of their processes is left. A later call hurries the first."""
        self.reloader.stop_came()
        self._started.set()  # a reload that waits for it is to hear of the stop
        return await self.stopper.stop(grace_ms, now, progress)

    def facts(self) -> dict[str, Facts]:
        """Return what runs of each queue now, for a plan."""
        found = {}
        for view in self.views():
            jobs = tuple((job.id or job.name, job.running_s) for worker in view.workers for job in worker.jobs)
            found[view.name] = Facts(sum(1 for worker in view.workers if worker.pid), jobs)
        return found

    # --- inside ------------------------------------------------------------------------------------------------------

    def _starting(self) -> str:
        names = [pool.name for pool in self.fleet.pools.values() if not pool.was_ready and not pool.hold.is_on]
        return f"starting: {', '.join(names)}" if names else "starting: the handlers are being imported"

    def _pools(self, queue: str | None) -> list[Pool]:
        if queue is None:
            return list(self.fleet.pools.values())
        pool = self.fleet.pools.get(queue)
        if pool is None:
            raise NotThere("queue", queue, f'no queue "{queue}" on this host', known=sorted(self.fleet.pools))
        return [pool]

    def _tally(self, queue: str) -> Tally:
        return self._tallies.setdefault(queue, Tally())

    def _lost(self, loss: Loss) -> None:
        self._tally(loss.pool.name).worker_gone(loss.worker)
        self.counters.of(loss.pool.name).worker_gone(loss.pool, loss.worker)
        self.reloader.worker_lost(loss)
        self.on_loss(loss)
