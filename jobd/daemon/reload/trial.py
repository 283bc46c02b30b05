"""What a reload tries before anything that runs is touched: the imports, and one worker of each renewed queue."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from jobd.config.load import unreadable_secrets
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.template_process import TemplateError
from jobd.daemon.processes.worker_spec import handlers_of, template_key
from jobd.daemon.processes.worker_state import Worker
from jobd.daemon.reload.import_problems import import_problems
from jobd.errors import InputError, JobdError, Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.daemon.current_config import CurrentConfig
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.pool import Pool
    from jobd.daemon.processes.template_process import Template
    from jobd.daemon.processes.template_store import Loading, TemplateStore
    from jobd.daemon.processes.worker_spec import TemplateKey
    from jobd.locate import Secret

TRIAL_FAILED = "trial-failed"
"""Code of the error that says that a reload was rolled back because a trial worker was not ready."""


class Imports:
    """Templates that have imported the handlers of a configuration and fork nothing yet."""

    def __init__(self, templates: TemplateStore, current_config: CurrentConfig, config: Config) -> None:
        self._templates = templates
        self._in_force = current_config
        self._config = config
        self._queues = list(current_config.selected(config).values())
        self._made: dict[TemplateKey, Loading] = {}

    async def make(
        self, renewed: Iterable[Queue], *, rotated: Collection[Secret] = (), code: bool = False
    ) -> list[Problem]:
        """Import what these queues name, unless the template in use has it; return what does not import.

        Args:
            rotated: Secrets with another value: a template that has the old one in its environment is of no use.
            code: Import everything anew.

        Raises:
            ConfigProblems: a secret cannot be read.
            Refused: a template cannot be started.
        """
        problems: list[Problem] = []
        for key in dict.fromkeys(template_key(queue) for queue in renewed):
            members = [queue for queue in self._queues if template_key(queue) == key]
            stale = code or any(value in rotated for _, value in key.env)
            if not stale and self._templates.has(key, members):
                continue
            try:
                loading = self._made[key] = await self._templates.make(self._config, key, members)
            except (TemplateError, InputError) as error:
                raise self._no_template(error) from error
            problems += import_problems(self._config, members, loading.reports)
        return problems

    async def template(self, queue: Queue) -> Template:
        """Return the template that a worker of this queue is forked from.

        Raises:
            ConfigProblems, Refused: as `make`.
        """
        key = template_key(queue)
        loading = self._made.get(key)
        if loading is not None:
            return loading.template
        members = [member for member in self._config.queues.values() if template_key(member) == key]
        try:
            return await self._templates.get(self._config, key, members)
        except (TemplateError, InputError) as error:
            raise self._no_template(error) from error

    def install(self) -> None:
        """Have all later workers forked from these templates."""
        for loading in self._made.values():
            self._templates.install(loading)

    async def discard(self) -> None:
        """End these templates, and with them what they forked."""
        made, self._made = list(self._made.values()), {}
        for loading in made:
            await self._templates.discard(loading)

    def _no_template(self, error: TemplateError | InputError) -> JobdError:
        told = None
        if isinstance(error, InputError):
            told = unreadable_secrets(self._config, self._in_force.environ, self._in_force.redis_argument)
        return told or Refused(TRIAL_FAILED, f"cannot start a trial worker: {error}")


class TrialWorker:
    """One worker of a new or changed queue, held: it gets ready and takes nothing (worker_state.Owner)."""

    def __init__(self, pool: Pool, queue: Queue, generation: int) -> None:
        self.pool = pool
        self.queue = queue
        self._outcome: asyncio.Future[tuple[str, str] | None] = asyncio.get_running_loop().create_future()
        self.worker = Worker(pool.new_name(1), queue.name, generation, self, pool.clock, hold=True)

    async def ready(self) -> None:
        """Return when it is ready.

        Raises:
            Refused: it cannot work; an import is exit 78, anything else 1.
        """
        failure = await self._outcome
        if failure is not None:
            raise self._refused(*failure)

    def check(self) -> None:
        """See that it is still there; the trials of other queues may have taken long.

        Raises:
            Refused: it has ended since it was ready.
        """
        if not self.worker.is_up:
            raise self._refused("start", f"it was ready and ended: {self.worker.ending.value}")

    def worker_ready(self, worker: Worker) -> None:
        """It is ready."""
        self._settle(None)

    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None:
        """It cannot work."""
        self._settle((stage, reason))

    def worker_quieted(self, worker: Worker) -> None:
        """It takes nothing anyway."""

    def worker_gone(self, worker: Worker) -> None:
        """It has ended, asked or not."""
        self._settle(("start", f"it ended: {worker.ending.value}"))
        self.pool.trial_gone(worker)

    def _settle(self, outcome: tuple[str, str] | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    def _refused(self, stage: str, reason: str) -> Refused:
        text = f"{self.queue.name}: the trial worker is not ready: {stage} failed: {reason}"
        imports = stage == "import"
        return Refused(
            "import-failed" if imports else TRIAL_FAILED, text,
            exit_code=os.EX_CONFIG if imports else 1, detail={"queue": self.queue.name},
        )  # fmt: skip


class Trial:
    """The held workers of one reload, by queue."""

    def __init__(self, imports: Imports, fleet: Fleet, generation: int) -> None:
        self._imports = imports
        self._fleet = fleet
        self._generation = generation
        self.workers: dict[str, TrialWorker] = {}

    async def start(self, queues: Iterable[Queue]) -> None:
        """Start one worker of each queue and return when all are ready.

        Raises:
            ConfigProblems, Refused: one cannot work.
        """
        for queue in queues:
            template = await self._imports.template(queue)
            pool = self._fleet.pools.get(queue.name) or self._fleet.new_pool(queue, self._generation)
            trial = self.workers[queue.name] = TrialWorker(pool, queue, self._generation)
            self._fleet.spawn_trial(queue, trial.worker, template)
        for trial in self.workers.values():
            await trial.ready()
        for trial in self.workers.values():
            trial.check()

    def handlers(self) -> int:
        """Return how many handlers its workers have imported."""
        return len({path for trial in self.workers.values() for path in handlers_of(trial.queue)})

    def end(self) -> None:
        """Kill them: the reload is not going to be."""
        for trial in self.workers.values():
            trial.worker.kill(Ending.ASKED)
