"""Reloads and plans, one after the other, and what became of the last reload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.config.problems import ConfigProblems
from jobd.daemon.reload.plan import refusals
from jobd.daemon.reload.reload import Reload
from jobd.daemon.reload.trial import Imports
from jobd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobd.daemon.processes.fleet import Loss
    from jobd.daemon.reload.context import ReloadContext
    from jobd.daemon.reload.states import ReloadState
    from jobd.daemon.views import ReloadReport, Step


class Reloader:
    """Reloads one after the other; a second one waits, and says for whom."""

    def __init__(self, parts: ReloadContext) -> None:
        self._parts = parts
        self._lock = asyncio.Lock()
        self._current: Reload | None = None
        self._last: Reload | None = None
        self._who = ""
        self._stopping = False

    @property
    def state(self) -> ReloadState | None:
        """Where the running reload is; None when none runs."""
        return self._current.state if self._current is not None else None

    @property
    def interrupted(self) -> int:
        """Jobs that were cut off for the last reload, until now."""
        return self._last.interrupted if self._last is not None else 0

    async def reload(self, progress: Callable[[str], None], *, code: bool, who: str) -> ReloadReport:
        """Read the file again and apply it, or change nothing; raises as Reload.run."""
        if self._lock.locked():
            progress(f"waiting for the reload of {self._who}")
        async with self._lock:
            if self._stopping:
                raise Refused("stopping", "cannot reload: the daemon is stopping")
            self._who = who
            self._current = self._last = Reload(self._parts, progress, code=code, who=who)
            try:
                return await self._current.run()
            finally:
                self._current = None

    async def rehearse(self, path: Path | None) -> list[Step]:
        """Return what a reload would do, with this file instead of the daemon's own if one is given.

        New and changed handlers are imported on trial.

        Raises:
            ConfigError: the file is wrong or a handler does not import (exit 78).
            Refused: a template for it cannot be started.
        """
        parts = self._parts
        wanted = await parts.read(path)
        rotated = parts.current_config.rotated(wanted)
        steps = await parts.plan(wanted, rotated=rotated)
        if refusals(steps):
            return steps
        await parts.refuse_schedules(wanted)
        imports = Imports(parts.templates, parts.current_config, wanted)
        try:
            problems = await imports.make(parts.renewed(wanted, steps), rotated=rotated)
        finally:
            await imports.discard()
        if problems:
            raise ConfigProblems(problems, wanted.name)
        return steps

    def stop_came(self) -> None:
        """The daemon stops: end the running reload, refuse later ones."""
        self._stopping = True
        if self._current is not None:
            self._current.stop_came()

    def worker_lost(self, loss: Loss) -> None:
        """A worker has ended."""
        if self._last is not None:
            self._last.worker_lost(loss)
