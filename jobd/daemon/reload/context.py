"""What a reload and a plan work on, and the questions that both ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from jobd.config.problems import ConfigProblems
from jobd.daemon.reload.plan import Facts, plan
from jobd.daemon.reload.trial import Imports
from jobd.daemon.views import Action, Step
from jobd.errors import JobdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

    from jobd.clock import Clock
    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.daemon.current_config import CurrentConfig
    from jobd.daemon.processes.fleet import Fleet
    from jobd.daemon.processes.template_store import TemplateStore
    from jobd.locate import Secret


class Schedules(Protocol):
    """Who keeps the schedules of the file in Redis."""

    async def apply(self) -> list[tuple[str, str]]:
        """Set what the configuration in force has, remove what it has no more; return [(schedule, what was done)]."""

    async def problems(self, config: Config) -> list[Problem]:
        """Return the schedules of a wanted file that cannot be set."""


class ReloadContext:
    """What a reload works on, and the questions that a reload and a plan ask alike."""

    def __init__(
        self,
        current_config: CurrentConfig,
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
        self.current_config = current_config
        self.fleet = fleet
        self.templates = templates
        self.clock = clock
        self.renew_connections = renew_connections
        self.schedules = schedules
        self._facts = facts
        self._count_waiting = count_waiting

    async def read(self, path: Path | None = None) -> Config:
        """Return the configuration that the daemon's file has now, or this other one.

        Raises:
            ConfigError: it is wrong; what else does not import is told with it.
        """
        try:
            return self.current_config.read(path)
        except ConfigProblems as error:
            if error.partial is None:
                raise
            raise error.joined(await self._more_problems(error.partial)) from None

    async def plan(self, wanted: Config, *, rotated: Collection[Secret], code: bool = False) -> list[Step]:
        """Return what a reload with this configuration would do."""
        running = self.current_config.config
        before, after = self.current_config.selected(running), self.current_config.selected(wanted)
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
        queues = self.current_config.selected(wanted)
        return [queues[step.queue] for step in steps if step.queue and step.action in (Action.ADD, Action.REPLACE)]

    async def _more_problems(self, partial: Config) -> list[Problem]:
        """Return what does not import of a configuration that is wrong elsewhere already."""
        imports = Imports(self.templates, self.current_config, partial)
        try:
            return await imports.make(self.current_config.selected(partial).values())
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
