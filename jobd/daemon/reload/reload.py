"""A reload, from the file to the last replaced worker: what is done in each state of its course."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.config.problems import ConfigProblems
from jobd.daemon.logs import event_log
from jobd.daemon.reload.apply import Apply
from jobd.daemon.reload.context import newer_code
from jobd.daemon.reload.plan import has_changes, refuse_cold
from jobd.daemon.reload.states import ReloadCourse
from jobd.daemon.reload.trial import Imports, Trial
from jobd.daemon.views import ReloadReport, Step
from jobd.errors import Refused
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jobd.config.model import Config
    from jobd.daemon.processes.fleet import Loss
    from jobd.daemon.reload.context import ReloadContext
    from jobd.daemon.reload.states import ReloadState
    from jobd.locate import Secret

log = event_log(__name__)


class Reload:
    """One reload; `run` once. The other methods are events that come from outside while it runs."""

    def __init__(self, parts: ReloadContext, progress: Callable[[str], None], *, code: bool, who: str) -> None:
        self._course = ReloadCourse()
        self._parts = parts
        self._progress = progress
        self._code = code
        self._who = who
        self._rotated: Collection[Secret] = ()
        self._steps: list[Step] = []
        self._imports: Imports | None = None
        self._trial: Trial | None = None
        self._apply = Apply(
            parts.current_config, parts.fleet, parts.templates, say=self._say, renew_connections=parts.renew_connections
        )
        self._work: asyncio.Task[None] | None = None

    @property
    def state(self) -> ReloadState:
        """Where it is."""
        return self._course.state

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
            if self.state.is_stopped:
                raise Refused("stopping", self._stopped_text()) from None
            raise
        except ConfigProblems as error:
            await self._failed(str(error))
            raise ConfigProblems(error.details, error.main, kept=True) from None
        except Exception as error:
            await self._failed(str(error))
            raise
        took_s = self._parts.clock.monotonic() - started
        generation = self._parts.current_config.generation
        log.info("reloaded", generation=generation, took_ms=round(took_s * 1000), by=self._who)
        return ReloadReport(generation, took_s, self._steps, self.interrupted, self._notes())

    # --- events ------------------------------------------------------------------------------------------------------

    def stop_came(self) -> None:
        """The daemon stops: what is only tried is thrown away, what is applied is left to the stop."""
        if self._course.stop_came() and self._work is not None:
            self._work.cancel()

    def worker_lost(self, loss: Loss) -> None:
        """A worker has ended."""
        self._apply.lost(loss)

    # --- from state to state -----------------------------------------------------------------------------------------

    async def _through(self, started: float) -> None:
        parts = self._parts
        wanted = await parts.read()
        self._course.read()
        self._rotated = parts.current_config.rotated(wanted)
        self._steps = await parts.plan(wanted, rotated=self._rotated, code=self._code)
        refuse_cold(self._steps)
        await parts.refuse_schedules(wanted)
        changes = has_changes(self._steps)
        self._course.planned(changes=changes)
        if not changes:
            self._say_checked(wanted, started)
            parts.current_config.renew(wanted)
            parts.fleet.config = wanted
            return
        renewed = parts.renewed(wanted, self._steps)
        self._imports = Imports(parts.templates, parts.current_config, wanted)
        problems = await self._imports.make(renewed, rotated=self._rotated, code=self._code)
        if problems:
            raise ConfigProblems(problems, wanted.name)
        self._course.imported()
        self._trial = Trial(self._imports, parts.fleet, parts.current_config.generation + 1)
        await self._trial.start(renewed)
        self._say_checked(wanted, started)
        self._course.tried()
        self._apply.switch(wanted, self._steps, self._imports, self._trial.workers)
        await self._apply.replace()
        for name, done in await parts.schedules.apply():
            self._say(name, done)
        parts.current_config.reloaded()
        self._course.replaced()

    async def _failed(self, why: str) -> None:
        self._course.failed()
        if self.state.is_in_force:
            return  # what is not replaced yet is left to the stop, or to the next reload
        if self._trial is not None:
            self._trial.end()
        if self._imports is not None:
            await self._imports.discard()
        log.warning("reload refused", by=self._who, state=self.state.value, error=why.splitlines()[0] if why else None)

    # --- words -------------------------------------------------------------------------------------------------------

    def _say(self, queue: str, text: str) -> None:
        self._progress(f"{queue:<12} {text}")

    def _say_checked(self, wanted: Config, started: float) -> None:
        files, handlers = plural(len(wanted.files), "file"), self._trial.handlers() if self._trial else 0
        what = f"{files}, {plural(handlers, 'handler')} imported in a trial worker" if handlers else files
        self._say("checked", f"{what} ({self._parts.clock.monotonic() - started:.1f}s)")

    def _notes(self) -> list[str]:
        return [] if self._code else newer_code(self._parts.templates.changed_files())

    def _stopped_text(self) -> str:
        if not self.state.is_in_force:
            return "not reloaded: the daemon stops"
        return f"generation {self._parts.current_config.generation} is in force, and the daemon stops"
