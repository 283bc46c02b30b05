"""A reload as a transaction: read, check, plan, trial, apply. Before `apply` nothing that runs is touched."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from jobd.config.load import load, unreadable_secrets
from jobd.config.problems import ConfigProblems
from jobd.daemon import logs
from jobd.daemon.processes.exits import Ending
from jobd.daemon.processes.template_process import TemplateError
from jobd.daemon.processes.worker_spec import handlers_of, template_key
from jobd.daemon.processes.worker_state import Worker
from jobd.daemon.reload.import_problems import import_problems
from jobd.daemon.reload.plan import has_changes, refusals
from jobd.daemon.views import Action, ReloadReport, Step
from jobd.errors import InputError, JobdError, Refused
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.template_process import Template
    from jobd.daemon.processes.template_store import Loading
    from jobd.daemon.processes.worker_spec import TemplateKey
    from jobd.daemon.supervisor import Supervisor

log = logs.event_log(__name__)


class Trial:
    """One worker of a new or changed queue, held: it gets ready and takes nothing (process.Owner)."""

    def __init__(self, pool: Pool, queue: Queue, generation: int) -> None:
        self.pool = pool
        self.queue = queue
        self._outcome: asyncio.Future[tuple[str, str] | None] = asyncio.get_running_loop().create_future()
        self.worker = Worker(pool.new_name(1), queue.name, generation, self, pool.clock, hold=True)

    async def wait(self) -> None:
        """Return when it is ready.

        Raises:
            Refused: it cannot work; an import is exit 78, anything else 1.
        """
        failure = await self._outcome
        if failure is None:
            return
        stage, reason = failure
        text = f"{self.queue.name}: the trial worker is not ready: {stage} failed: {reason}"
        raise Refused(
            "import-failed" if stage == "import" else "trial-failed", text,
            exit_code=os.EX_CONFIG if stage == "import" else 1, detail={"queue": self.queue.name},
        )  # fmt: skip

    def worker_ready(self, worker: Worker) -> None:
        """It is ready."""
        self._settle(None)

    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None:
        """It cannot work."""
        self._settle((stage, reason))

    def worker_gone(self, worker: Worker) -> None:
        """It has ended, asked or not."""
        self._settle(("start", f"it ended: {worker.ending.value}"))
        self.pool.trial_gone(worker)

    def _settle(self, outcome: tuple[str, str] | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)


class Reload:
    """One reload. `run` once."""

    def __init__(self, supervisor: Supervisor, progress: Callable[[str], None], *, code: bool, who: str) -> None:
        self._supervisor = supervisor
        self._progress = progress
        self._code = code
        self._who = who
        self._loadings: dict[TemplateKey, Loading] = {}
        self._trials: dict[str, Trial] = {}

    async def run(self) -> ReloadReport:
        """Apply the file as it is now.

        Raises:
            ConfigError, Refused: as Supervisor.reload; nothing has changed then.
        """
        try:
            return await self._run()
        except ConfigProblems as error:
            raise ConfigProblems(error.details, error.main, kept=True) from None

    async def read(self, path: Path) -> Config:
        """Return the configuration in this file; where it is wrong, what else does not import is told with it.

        Raises:
            ConfigProblems: all of it.
        """
        supervisor = self._supervisor
        try:
            return load(path, env=supervisor.environ, redis_url=supervisor.redis_argument)
        except ConfigProblems as error:
            if error.partial is None:
                raise
            raise error.joined(await self._more_problems(error.partial)) from None

    async def _more_problems(self, partial: Config) -> list[Problem]:
        queues = list(self._supervisor.selected(partial).values())
        try:
            return await self._import_problems(partial, queues, queues)
        except (TemplateError, InputError):
            return []  # the file is refused anyway, with the problems that were found by reading it
        finally:
            await self._throw_away()

    async def _run(self) -> ReloadReport:
        supervisor = self._supervisor
        clock = supervisor.clock
        started = clock.monotonic()
        log.info("reload begins", by=self._who, code=self._code or None)
        wanted = await self.read(supervisor.config.path)
        steps = await supervisor.plan(wanted)
        self._refuse_cold(steps)
        self._notes = self._code_notes()
        if not has_changes(steps) and not self._code:
            supervisor.config = supervisor.fleet.config = wanted
            return ReloadReport(supervisor.generation, clock.monotonic() - started, steps, notes=self._notes)
        try:
            await self._try(wanted, steps)
            checked_s = clock.monotonic() - started
            self._say("checked", f"{self._checked(wanted)} ({checked_s:.1f}s)")
        except BaseException as error:
            await self._throw_away()
            log.warning("reload refused", by=self._who, error=str(error).splitlines()[0] if str(error) else None)
            raise
        if supervisor.stopping:
            await self._throw_away()
            raise Refused("stopping", "not reloaded: the daemon stops")
        await self._apply(wanted, steps)
        took_s = clock.monotonic() - started
        supervisor.reloaded_at = clock.monotonic()
        log.info("reloaded", generation=supervisor.generation, took_ms=round(took_s * 1000), by=self._who)
        return ReloadReport(supervisor.generation, took_s, steps, notes=self._notes)

    async def rehearse(self, path: Path | None) -> list[Step]:
        """Return what a reload would do, with this file instead of the daemon's own if one is given.

        New and changed handlers are imported on trial.

        Raises:
            ConfigError: the file is wrong or a handler does not import (exit 78).
            Refused: a template for it cannot be started.
        """
        wanted = await self.read(path or self._supervisor.config.path)
        steps = await self._supervisor.plan(wanted)
        queues = self._supervisor.selected(wanted)
        try:
            if not refusals(steps):
                await self._import(wanted, [queues[name] for name in self._renewed(steps)], list(queues.values()))
        except (TemplateError, InputError) as error:
            raise self._no_trial(wanted, error) from error
        finally:
            await self._throw_away()
        return steps

    def _checked(self, wanted: Config) -> str:
        files = plural(len(wanted.files), "file")
        handlers = {path for trial in self._trials.values() for path in handlers_of(trial.queue)}
        return f"{files}, {plural(len(handlers), 'handler')} imported in a trial worker" if handlers else files

    def _refuse_cold(self, steps: list[Step]) -> None:
        cold = refusals(steps)
        if cold:
            what = ", ".join(step.what.removesuffix(" changed") for step in cold)
            raise Refused(
                "needs-restart", f"cannot change {what} while running; nothing was applied: restart the daemon",
                detail={"keys": [key for step in cold for key in step.keys]},
            )  # fmt: skip

    def _code_notes(self) -> list[str]:
        if self._code:
            return []
        changed = self._supervisor.code_changed()
        if not changed:
            return []
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        return [f"code changed on disk ({shown}); load it with: jobd reload --code"]

    # --- trial -------------------------------------------------------------------------------------------------------

    def _renewed(self, steps: list[Step]) -> list[str]:
        """The queues that get new workers."""
        actions = {Action.ADD, Action.REPLACE} | ({Action.IN_PLACE, Action.KEEP} if self._code else set())
        return [step.queue for step in steps if step.queue and step.action in actions]

    async def _try(self, wanted: Config, steps: list[Step]) -> None:
        queues = self._supervisor.selected(wanted)
        renewed = [queues[name] for name in self._renewed(steps)]
        try:
            await self._import(wanted, renewed, list(queues.values()))
            generation = self._supervisor.generation + 1
            for queue in renewed:
                await self._start_trial(wanted, queue, generation)
        except (TemplateError, InputError) as error:
            raise self._no_trial(wanted, error) from error
        for trial in self._trials.values():
            await trial.wait()

    def _no_trial(self, wanted: Config, error: TemplateError | InputError) -> JobdError:
        told = None
        if isinstance(error, InputError):
            told = unreadable_secrets(wanted, self._supervisor.environ, self._supervisor.redis_argument)
        return told or Refused("trial-failed", f"cannot start a trial worker: {error}")

    async def _import(self, wanted: Config, renewed: list[Queue], queues: list[Queue]) -> None:
        problems = await self._import_problems(wanted, renewed, queues)
        if problems:
            raise ConfigProblems(problems, wanted.name)

    async def _import_problems(self, wanted: Config, renewed: list[Queue], queues: list[Queue]) -> list[Problem]:
        problems = []
        for key in dict.fromkeys(template_key(queue) for queue in renewed):
            members = [queue for queue in queues if template_key(queue) == key]
            if not self._code and self._supervisor.templates.has(key, members):
                continue
            loading = self._loadings[key] = await self._supervisor.templates.make(wanted, key, members)
            problems += import_problems(wanted, members, loading.reports)
        return problems

    async def _start_trial(self, wanted: Config, queue: Queue, generation: int) -> None:
        supervisor = self._supervisor
        pool = supervisor.fleet.pools.get(queue.name) or supervisor.fleet.new_pool(queue, generation)
        trial = self._trials[queue.name] = Trial(pool, queue, generation)
        supervisor.fleet.spawn_trial(queue, trial.worker, await self._template(wanted, queue))

    async def _template(self, wanted: Config, queue: Queue) -> Template:
        key = template_key(queue)
        loading = self._loadings.get(key)
        if loading is not None:
            return loading.template
        return await self._supervisor.templates.get(wanted, key, self._supervisor.fleet.queues_of(key, wanted))

    async def _throw_away(self) -> None:
        for trial in self._trials.values():
            trial.worker.kill(Ending.ASKED)
        for loading in self._loadings.values():
            await self._supervisor.templates.discard(loading)

    # --- apply -------------------------------------------------------------------------------------------------------

    async def _apply(self, wanted: Config, steps: list[Step]) -> None:
        supervisor = self._supervisor
        generation = supervisor.generation = supervisor.generation + 1
        supervisor.config = supervisor.fleet.config = wanted
        logs.configure(wanted.daemon.log_format, wanted.daemon.log_level)
        for loading in self._loadings.values():
            supervisor.templates.install(loading)
        queues = supervisor.selected(wanted)
        for step in steps:
            # A stop that comes in between ends what is there; a trial not adopted yet goes with its template.
            if step.queue and not supervisor.stopping:
                await self._apply_step(step, queues.get(step.queue), generation)
        supervisor.templates.retire_others(template_key(queue) for queue in queues.values())

    async def _apply_step(self, step: Step, queue: Queue | None, generation: int) -> None:
        fleet = self._supervisor.fleet
        trial = self._trials.get(step.queue)
        if queue is None:
            pool = fleet.pools.pop(step.queue)
            fleet.drained_pools.append(pool)
            pool.remove(generation)
            self._say(step.queue, _draining(pool))
        elif trial is None:
            pool = fleet.pools[step.queue]
            pool.apply_in_place(queue, generation)
            await pool.filled()
            if step.action is not Action.KEEP:
                self._say(step.queue, step.what)
        else:
            await self._renew(trial, queue, generation)

    async def _renew(self, trial: Trial, queue: Queue, generation: int) -> None:
        pool = trial.pool
        is_new = queue.name not in self._supervisor.fleet.pools
        self._supervisor.fleet.pools[queue.name] = pool
        before = sum(1 for worker in pool.workers() if worker.takes_jobs)
        pool.reconfigure(queue, generation)
        pool.adopt(trial.worker)
        if is_new:
            pool.fill()
            await pool.filled()
            self._say(queue.name, f"{plural(pool.wanted, 'worker')} ready")
            return
        total = max(before, 1)
        self._say(queue.name, f"1/{total} replaced")
        await pool.roll(lambda count: self._say(queue.name, f"{count + 1}/{total} replaced"))
        pool.fill()

    def _say(self, queue: str, text: str) -> None:
        self._progress(f"{queue:<12} {text}")


def _draining(pool: Pool) -> str:
    jobs = [view for worker in pool.workers() for view in worker.slots()]
    if not jobs:
        return "removed"
    named = ", ".join(view.job_id or view.name for view in jobs[:3])
    return f"draining, {plural(len(jobs), 'job')} left ({named})"
