"""The supervisor: what runs, in which state, and the orders it takes from commands and signals."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jobd.config.tables import MAX_WORKERS
from jobd.daemon.logs import event_log
from jobd.daemon.processes.fleet import Fleet
from jobd.daemon.processes.pool import Hold
from jobd.daemon.processes.worker_spec import template_key
from jobd.daemon.queue_views import Tally, queue_view
from jobd.daemon.reload.import_problems import import_problems
from jobd.daemon.reload.plan import Facts, plan
from jobd.daemon.views import DaemonState, QueueView, ReloadReport, Step, StopReport
from jobd.engine.trouble import Trouble
from jobd.errors import NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from jobd.clock import Clock
    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.daemon.incarnation import IncarnationRecord
    from jobd.daemon.processes.fleet import Loss
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.template_store import TemplateStore
    from jobd.daemon.stopping import Stopper
    from jobd.locate import RedisSource

log = event_log(__name__)

FETCH_LIMIT_S = 15.0
"""A queue whose last answered fetch is older is not ready."""

LOOP_LIMIT_S = 10.0
"""The daemon is live while its loop turned within this time."""


class Supervisor:
    """Everything `jobd run` runs, from the control socket's point of view. None of it waits for Redis."""

    def __init__(
        self,
        config: Config,
        source: RedisSource,
        templates: TemplateStore,
        record: IncarnationRecord,
        clock: Clock,
        *,
        environ: Mapping[str, str],
        globs: Iterable[str] = (),
        redis_argument: str | None = None,
    ) -> None:
        """Prepare. `globs` and `redis_argument` are what the command line says in place of the file."""
        self.environ = environ
        self.redis_argument = redis_argument
        self.config = config
        self.generation = 1
        self.reloaded_at: float | None = None
        self.started_at = clock.monotonic()
        self.clock = clock
        self.templates = templates
        self.record = record
        self.fleet = Fleet(config, source, templates, record, clock)
        self.fleet.on_loss = self._lost
        self.on_loss: Callable[[Loss], None] = lambda loss: None
        self.stopper: Stopper
        self.count_waiting: Callable[[str], Awaitable[int | None]]
        """Jobs that wait in a queue, None when Redis does not say at once."""
        self._redis_troubles: dict[str, str] = {}
        """{duty: what Redis refused it}."""
        self.reloading = False
        self.stopping = False
        self.loop_beat_at = clock.monotonic()
        self._globs = tuple(globs)
        self._tallies: dict[str, Tally] = {}
        self._started = False
        self._ready_once = False
        self._reload_lock = asyncio.Lock()
        self._reloader: str = ""

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def incarnation(self) -> str:
        """The id of this start: the first part of every token."""
        return self.record.id

    @property
    def state(self) -> DaemonState:
        """What the daemon is doing."""
        if self.stopping:
            return DaemonState.DRAINING
        if self.reloading:
            return DaemonState.RELOADING
        if not self.ready_once:
            return DaemonState.STARTING
        return DaemonState.DEGRADED if self.degraded_by() else DaemonState.READY

    @property
    def ready_once(self) -> bool:
        """Whether every queue has had a ready worker, or is held apart: then the start is over."""
        if self._started and not self._ready_once:
            pools = self.fleet.pools.values()
            self._ready_once = all(pool.was_ready or pool.hold is not None for pool in pools)
        return self._ready_once

    def degraded_by(self) -> list[str]:
        """Return what is not as it should be: "reports: breaker", "redis: down"."""
        found = []
        for pool in self.fleet.pools.values():
            if pool.hold is Hold.BREAKER:
                found.append(f"{pool.name}: breaker")
            elif pool.hold is Hold.SETUP:
                found.append(f"{pool.name}: {pool.hold_reason.splitlines()[0]}")
            elif pool.was_ready and not pool.has_ready() and pool.wanted and not self.stopping:
                found.append(f"{pool.name}: no worker is ready")
        trouble = self.redis_trouble()
        if trouble is not None:
            found.append(f"redis: {trouble}")
        return found

    def redis_said(self, duty: str, trouble: str | None) -> None:
        """A duty had its answer from Redis, or (with a word of engine.trouble.Trouble) did not."""
        if trouble is None:
            self._redis_troubles.pop(duty, None)
        else:
            self._redis_troubles[duty] = trouble

    def redis_trouble(self) -> str | None:
        """Return what is wrong with Redis in a few words: "down" when nobody answers, None when nothing is wrong."""
        found = [*self._redis_troubles.values()]
        found += [w.redis_trouble for _, w in self.fleet.workers() if w.is_up and w.redis_trouble is not None]
        # A reason says more than silence: while a server loads, connections are refused and answered by turns.
        words = [word for word in found if word != Trouble.AWAY]
        return words[0] if words else "down" if found else None

    def redis_down(self) -> bool:
        """Tell whether any worker that is up says that Redis is away."""
        return any(worker.is_up and not worker.redis_up for _, worker in self.fleet.workers())

    def live(self) -> tuple[bool, str | None]:
        """Tell whether the loop turns, and why not."""
        age = self.clock.monotonic() - self.loop_beat_at
        return (True, None) if age < LOOP_LIMIT_S else (False, f"the loop last turned {age:.0f}s ago")

    def ready(self) -> tuple[bool, str | None]:
        """Tell whether this host consumes, and why not."""
        if self.stopping:
            return False, "the daemon is draining"
        if not self.ready_once:
            names = [pool.name for pool in self.fleet.pools.values() if not pool.was_ready and pool.hold is None]
            return False, "starting: " + ", ".join(names)
        now = self.clock.monotonic()
        problems = [
            *self.degraded_by(),
            *filter(None, (_not_fetching(pool, now) for pool in self.fleet.pools.values())),
        ]
        return (not problems, "; ".join(problems) or None)

    def views(self) -> list[QueueView]:
        """Return every queue of this host, removed ones that still drain last."""
        now = self.clock.monotonic()
        return [queue_view(pool, self._tally(pool), now) for pool in self.fleet.all_pools()]

    def drift(self) -> list[str]:
        """Return one line for each thing that was changed at run time and differs from the file."""
        lines = []
        for pool in self.fleet.pools.values():
            if pool.scaled_to is not None and pool.scaled_to != pool.queue.workers:
                written = pool.queue.workers
                lines.append(
                    f"{pool.name} scaled {written} -> {pool.scaled_to} at runtime by {pool.scaled_by} "
                    f"(file says {written})"
                )
            if pool.quieted_by is not None:
                lines.append(f"{pool.name} quiet at runtime by {pool.quieted_by}")
        return lines

    def code_changed(self) -> list[str]:
        """Return imported files that changed on disk since they were imported."""
        return self.templates.changed_files()

    # --- starting ----------------------------------------------------------------------------------------------------

    def selected(self, config: Config) -> dict[str, Queue]:
        """Return the queues of a configuration that this daemon runs."""
        globs = self._globs or tuple(config.daemon.queues)
        return {name: queue for name, queue in config.queues.items() if any(fnmatchcase(name, glob) for glob in globs)}

    async def load(self) -> list[Problem]:
        """Import every handler of this daemon's queues; return what does not import, nothing is in use then.

        Raises:
            TemplateError, InputError: a template could not be started.
        """
        queues = self.selected(self.config).values()
        problems: list[Problem] = []
        for key in dict.fromkeys(template_key(queue) for queue in queues):
            members = [queue for queue in queues if template_key(queue) == key]
            loading = await self.templates.make(self.config, key, members)
            problems += import_problems(self.config, members, loading.reports)
            if problems:
                await self.templates.discard(loading)
            else:
                self.templates.install(loading)
        return problems

    def start_workers(self) -> None:
        """Start the workers of every queue; returns at once."""
        self._started = True
        self.fleet.make_room(self.selected(self.config).values())
        for queue in self.selected(self.config).values():
            pool = self.fleet.new_pool(queue, self.generation)
            self.fleet.pools[queue.name] = pool
            pool.fill()

    def beat(self) -> None:
        """The loop turns; called about once a second."""
        self.loop_beat_at = self.clock.monotonic()
        for pool in self.fleet.all_pools():
            self._tally(pool).sample(pool, self.loop_beat_at)

    # --- orders ------------------------------------------------------------------------------------------------------

    def quiet(self, queue: str | None, who: str) -> None:
        """Take no new jobs of a queue, or (None) of any, on this host.

        Raises:
            NotThere: this host does not run the queue.
        """
        for pool in self._pools(queue):
            pool.quieted_by = pool.quieted_by or who
            pool.apply_quiet()
        if queue is None:  # a state of the host: queues that a reload adds are quiet too
            self.fleet.quieted_by = self.fleet.quieted_by or who
        log.info("quiet", queue=queue, by=who)

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
        for pool in pools:
            pool.quieted_by = None
            pool.apply_quiet()
        if queue is None:
            self.fleet.quieted_by = None
        log.info("unquiet", queue=queue, by=who)

    def scale(self, queue: str, to: str | None, who: str) -> tuple[int, int]:
        """Run another number of workers until the file changes it; return (before, after).

        `to` is "5", "+1" or "-1" from the present number, None back to the file's.

        Raises:
            NotThere: this host does not run the queue.
            Refused: not a number of workers.
        """
        pool = self._pools(queue)[0]
        before = pool.wanted
        after = pool.queue.workers if to is None else _scaled(before, to)
        pool.scaled_to = None if to is None or after == pool.queue.workers else after
        pool.scaled_by = who
        log.info("scaled", queue=queue, was=before, workers=after, by=who)
        pool.fill()
        return before, after

    def dump_stacks(self) -> None:
        """Have every worker write its stacks into the log."""
        for _, worker in self.fleet.workers():
            worker.dump_stacks()

    async def plan(self, wanted: Config) -> list[Step]:
        """Return what a reload with this configuration would do."""
        before, after = self.selected(self.config), self.selected(wanted)
        facts = self._facts()
        for name in before.keys() - after.keys():
            facts[name] = replace(facts.get(name, Facts()), waiting=await self.count_waiting(name))
        return plan(self.config, wanted, (before, after), facts)

    async def rehearse(self, path: Path | None) -> list[Step]:
        """Return what a reload would do (with this file, if given); raises what it would raise for the file."""
        from jobd.daemon.reload.transaction import Reload

        return await Reload(self, lambda text: None, code=False, who="plan").rehearse(path)

    async def reload(self, code: bool, progress: Callable[[str], None], who: str) -> ReloadReport:
        """Read the file again and apply it, or change nothing.

        Raises:
            ConfigError: the file is wrong or a handler does not import (exit 78).
            Refused: a change that needs a restart, or a trial worker that is not ready.
        """
        from jobd.daemon.reload.transaction import Reload

        if self._reload_lock.locked():
            progress(f"waiting for the reload of {self._reloader}")
        async with self._reload_lock:
            if self.stopping:
                raise Refused("stopping", "cannot reload: the daemon is stopping")
            self._reloader = who
            self.reloading = True
            try:
                return await Reload(self, progress, code=code, who=who).run()
            finally:
                self.reloading = False

    async def stop(self, grace_ms: int | None, now: bool, progress: Callable[[str], None]) -> StopReport:
        """Stop every worker as told; return when none of their processes is left. A later call hurries the first."""
        return await self.stopper.stop(grace_ms, now, progress)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _pools(self, queue: str | None) -> list[Pool]:
        if queue is None:
            return list(self.fleet.pools.values())
        pool = self.fleet.pools.get(queue)
        if pool is None:
            raise NotThere("queue", queue, f'no queue "{queue}" on this host', known=sorted(self.fleet.pools))
        return [pool]

    def _tally(self, pool: Pool) -> Tally:
        return self._tallies.setdefault(pool.name, Tally())

    def _lost(self, loss: Loss) -> None:
        self._tally(loss.pool).worker_gone(loss.worker)
        self.on_loss(loss)

    def _facts(self) -> dict[str, Facts]:
        found = {}
        for view in self.views():
            jobs = tuple((job.id or job.name, job.running_s) for worker in view.workers for job in worker.jobs)
            found[view.name] = Facts(sum(1 for worker in view.workers if worker.pid), jobs)
        return found


def _scaled(before: int, to: str) -> int:
    try:
        number = int(to)
    except ValueError:
        raise Refused("scale-invalid", f'expected a number of workers such as "3", "+1" or "-1", got "{to}"') from None
    after = before + number if to.lstrip()[:1] in ("+", "-") else number
    if not 0 <= after <= MAX_WORKERS:
        raise Refused("scale-invalid", f"expected 0 to {MAX_WORKERS} workers, got {after}")
    return after


def _not_fetching(pool: Pool, now: float) -> str | None:
    """Say that a queue that should be consumed is not, or None."""
    if pool.is_quiet or pool.hold is not None or not pool.wanted:
        return None
    youngest = 0.0
    for worker in pool.workers():
        if worker.board is None or not worker.is_up:
            continue
        if worker.board.busy >= pool.queue.concurrency and worker.redis_up:
            return None  # all slots are taken: nothing to fetch for
        youngest = max(youngest, worker.board.fetched_at, worker.ready_at or 0.0)
    age = now - youngest
    return None if age < FETCH_LIMIT_S else f"{pool.name}: no fetch was answered for {age:.0f}s"
