"""A reload, from the file to the last replaced worker: named states, and what each event does in each of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from jobd.config.problems import ConfigProblems
from jobd.daemon.logs import event_log
from jobd.daemon.reload.apply import Apply
from jobd.daemon.reload.plan import Facts, has_changes, plan, refusals
from jobd.daemon.reload.trial import Imports, Trial
from jobd.daemon.views import Action, ReloadReport, Step
from jobd.errors import JobdError, Refused
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from jobd.clock import Clock
    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.daemon.in_force import InForce
    from jobd.daemon.processes.fleet import Fleet, Loss
    from jobd.daemon.processes.template_store import TemplateStore
    from jobd.locate import Secret

log = event_log(__name__)


class ReloadState(StrEnum):
    """Where a reload is. Before APPLYING nothing that runs is touched; the last three are ends."""

    READING = "reading"
    """The files, and what in them is wrong."""
    PLANNING = "planning"
    CHECKING = "checking"
    """New and changed handlers are imported by templates that nothing uses yet."""
    TRIAL = "trial"
    """One worker of each renewed queue gets ready and takes nothing."""
    APPLYING = "applying"
    """The new configuration is in force; workers are replaced."""
    DONE = "done"
    REFUSED = "refused"
    """Nothing was started that works; the configuration before stays."""
    ROLLED_BACK = "rolled back"
    """A trial worker could not work; all of them are gone, the configuration before stays."""


_NEXT = {
    ReloadState.READING: {ReloadState.PLANNING, ReloadState.REFUSED},
    ReloadState.PLANNING: {ReloadState.CHECKING, ReloadState.DONE, ReloadState.REFUSED},
    ReloadState.CHECKING: {ReloadState.TRIAL, ReloadState.REFUSED},
    ReloadState.TRIAL: {ReloadState.APPLYING, ReloadState.ROLLED_BACK},
    ReloadState.APPLYING: {ReloadState.DONE},
}
"""A state that is missing here is an end."""


class Reload:
    """One reload; `run` once. The other methods are events that come from outside while it runs."""

    def __init__(self, parts: Parts, progress: Callable[[str], None], *, code: bool, who: str) -> None:
        self.state = ReloadState.READING
        self._parts = parts
        self._progress = progress
        self._code = code
        self._who = who
        self._rotated: Collection[Secret] = ()
        self._steps: list[Step] = []
        self._imports: Imports | None = None
        self._trial: Trial | None = None
        self._apply = Apply(
            parts.in_force, parts.fleet, parts.templates, say=self._say, renew_connections=parts.renew_connections
        )
        self._work: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def interrupted(self) -> int:
        """Jobs that were cut off for it so far; workers may go on draining after its end."""
        return self._apply.interrupted

    async def run(self) -> ReloadReport:
        """Apply the file as it is now.

        Raises:
            ConfigError: the file is wrong or a handler does not import (exit 78); nothing has changed.
            Refused: a change needs a restart, a trial worker is not ready, or the daemon stops.
        """
        started = self._parts.clock.monotonic()
        log.info("reload begins", by=self._who, code=self._code or None)
        self._work = asyncio.ensure_future(self._through(started))
        try:
            await self._work
        except asyncio.CancelledError:
            await self._failed("the daemon stops")
            if not self._stopping:
                raise
            raise Refused("stopping", self._stopped_text()) from None
        except ConfigProblems as error:
            await self._failed(str(error))
            raise ConfigProblems(error.details, error.main, kept=True) from None
        except Exception as error:
            await self._failed(str(error))
            raise
        took_s = self._parts.clock.monotonic() - started
        generation = self._parts.in_force.generation
        log.info("reloaded", generation=generation, took_ms=round(took_s * 1000), by=self._who)
        return ReloadReport(generation, took_s, self._steps, self.interrupted, self._notes())

    # --- events ------------------------------------------------------------------------------------------------------

    def stop_came(self) -> None:
        """The daemon stops: what is only tried is thrown away, what is applied is left to the stop."""
        self._stopping = True
        if self._work is not None:
            self._work.cancel()

    def worker_lost(self, loss: Loss) -> None:
        """A worker has ended."""
        self._apply.lost(loss)

    # --- from state to state -----------------------------------------------------------------------------------------

    async def _through(self, started: float) -> None:
        parts = self._parts
        wanted = await self._read()
        self._to(ReloadState.PLANNING)
        self._rotated = parts.in_force.rotated(wanted)
        self._steps = await parts.plan(wanted, rotated=self._rotated, code=self._code)
        refuse_cold(self._steps)
        await parts.refuse_schedules(wanted)
        if not has_changes(self._steps):
            parts.in_force.renew(wanted)
            parts.fleet.config = wanted
            self._to(ReloadState.DONE)
            return
        self._to(ReloadState.CHECKING)
        renewed = parts.renewed(wanted, self._steps)
        self._imports = Imports(parts.templates, parts.in_force, wanted)
        problems = await self._imports.make(renewed, rotated=self._rotated, code=self._code)
        if problems:
            raise ConfigProblems(problems, wanted.name)
        self._to(ReloadState.TRIAL)
        self._trial = Trial(self._imports, parts.fleet, parts.in_force.generation + 1)
        await self._trial.start(renewed)
        self._say("checked", f"{self._checked(wanted)} ({parts.clock.monotonic() - started:.1f}s)")
        self._to(ReloadState.APPLYING)
        self._apply.switch(wanted, self._steps, self._imports, self._trial.workers)
        await self._apply.replace()
        for name, done in await parts.schedules.apply():
            self._say(name, done)
        parts.in_force.reloaded()
        self._to(ReloadState.DONE)

    async def _read(self) -> Config:
        """Return the wanted configuration; where it is wrong, what else does not import is told with it."""
        try:
            return self._parts.in_force.read()
        except ConfigProblems as error:
            if error.partial is None:
                raise
            raise error.joined(await self._parts.more_problems(error.partial)) from None

    async def _failed(self, why: str) -> None:
        if self.state is ReloadState.APPLYING:
            self._to(ReloadState.DONE)  # the stop ends what it had not replaced yet
            return
        self._to(ReloadState.ROLLED_BACK if self.state is ReloadState.TRIAL else ReloadState.REFUSED)
        if self._trial is not None:
            self._trial.end()
        if self._imports is not None:
            await self._imports.discard()
        log.warning("reload refused", by=self._who, state=self.state.value, error=why.splitlines()[0] if why else None)

    def _to(self, state: ReloadState) -> None:
        if state not in _NEXT[self.state]:
            raise AssertionError(f"a reload cannot go from {self.state.value} to {state.value}")
        self.state = state

    # --- words -------------------------------------------------------------------------------------------------------

    def _say(self, queue: str, text: str) -> None:
        self._progress(f"{queue:<12} {text}")

    def _checked(self, wanted: Config) -> str:
        files, handlers = plural(len(wanted.files), "file"), self._trial.handlers() if self._trial else 0
        return f"{files}, {plural(handlers, 'handler')} imported in a trial worker" if handlers else files

    def _notes(self) -> list[str]:
        return [] if self._code else newer_code(self._parts.templates.changed_files())

    def _stopped_text(self) -> str:
        if self.state is not ReloadState.DONE:
            return "not reloaded: the daemon stops"
        return f"generation {self._parts.in_force.generation} is in force, and the daemon stops"


class Schedules(Protocol):
    """Who keeps the schedules of the file in Redis."""

    async def apply(self) -> list[tuple[str, str]]:
        """Set what the configuration in force has, remove what it has no more; return [(schedule, what was done)]."""

    async def problems(self, config: Config) -> list[Problem]:
        """Return the schedules of a wanted file that cannot be set."""


class Parts:
    """What a reload works on, and the questions that a reload and a plan ask alike."""

    def __init__(
        self,
        in_force: InForce,
        fleet: Fleet,
        templates: TemplateStore,
        clock: Clock,
        *,
        facts: Callable[[], dict[str, Facts]],
        count_waiting: Callable[[str], Awaitable[int | None]],
        renew_connections: Callable[[], None],
        schedules: Schedules,
    ) -> None:
        """Prepare.

        Args:
            facts: {queue: what runs of it now}.
            count_waiting: Jobs that wait in a queue; None when Redis does not say at once.
            renew_connections: Has the daemon and its workers use the credentials that are in force now.
        """
        self.in_force = in_force
        self.fleet = fleet
        self.templates = templates
        self.clock = clock
        self.renew_connections = renew_connections
        self.schedules = schedules
        self._facts = facts
        self._count_waiting = count_waiting

    async def plan(self, wanted: Config, *, rotated: Collection[Secret], code: bool = False) -> list[Step]:
        """Return what a reload with this configuration would do."""
        running = self.in_force.config
        before, after = self.in_force.selected(running), self.in_force.selected(wanted)
        facts = self._facts()
        for name in before.keys() - after.keys():
            facts[name] = replace(facts.get(name, Facts()), waiting=await self._count_waiting(name))
        return plan(running, wanted, (before, after), facts, rotated=rotated, code=code)

    async def refuse_schedules(self, wanted: Config) -> None:
        """See that the schedules of a file can be set.

        Raises:
            ConfigProblems: others have made one of the same id.
        """
        problems = await self.schedules.problems(wanted)
        if problems:
            raise ConfigProblems(problems, wanted.name)

    def renewed(self, wanted: Config, steps: list[Step]) -> list[Queue]:
        """Return the queues that get new workers."""
        queues = self.in_force.selected(wanted)
        return [queues[step.queue] for step in steps if step.queue and step.action in (Action.ADD, Action.REPLACE)]

    async def more_problems(self, partial: Config) -> list[Problem]:
        """Return what does not import of a configuration that is wrong elsewhere already."""
        imports = Imports(self.templates, self.in_force, partial)
        try:
            return await imports.make(self.in_force.selected(partial).values())
        except JobdError:
            return []  # the file is refused anyway, with the problems that were found by reading it
        finally:
            await imports.discard()


def newer_code(changed: list[str]) -> list[str]:
    """Return what a person is told about imported files that changed on disk: one line, or none."""
    if not changed:
        return []
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return [f"code changed on disk ({shown}); load it with: jobd reload --code"]


def refuse_cold(steps: list[Step]) -> None:
    """See that a plan can be carried out by a running daemon.

    Raises:
        Refused: it names what needs a restart.
    """
    cold = refusals(steps)
    if cold:
        what = ", ".join(step.what.removesuffix(" changed") for step in cold)
        raise Refused(
            "needs-restart", f"cannot change {what} while running; nothing was applied: restart the daemon",
            detail={"keys": [key for step in cold for key in step.keys]},
        )  # fmt: skip
