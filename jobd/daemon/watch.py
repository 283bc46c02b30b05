"""`[daemon] watch`: reload by itself when the files, or the code too, change on disk.

The kernel says that something moved in a folder; what is done is decided by what differs from what runs. So an editor
that writes twice, a deploy that flips a symlink and a volume whose whole content is swapped bring one reload each, and
a file that was refused is tried again only when it has changed again.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.config.tables import Watch as Mode
from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.locate import drop_in_folder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from jobd.daemon.supervisor import Supervisor

log = event_log(__name__)

LOOK_S = 1.0
"""How often the folders are chosen anew; and, where the kernel cannot be asked, how often the disk is looked at."""

SETTLE_MS = 150
"""Nothing has moved for this long: then the writing is over."""

SETTLE_MAX_MS = 1500

Mark = tuple[tuple[str, int, int, int], ...]
"""What lies on disk: (path, change of content in ns, size, inode) of each file."""


class Policy:
    """Which reload a look at the disk asks for."""

    def __init__(self) -> None:
        self._tried: tuple[Mark | None, Mark | None] = (None, None)

    def decide(self, mode: Mode, files: Mark | None, code: Mark | None) -> bool | None:
        """Return whether to reload with new code (True), without (False), or not at all (None).

        `files` and `code` are None where the disk is what runs. The same difference is tried once.
        """
        code = code if mode is Mode.CODE else None
        found = (files, code)
        if mode is Mode.OFF or found in ((None, None), self._tried):
            return None
        self._tried = found
        return code is not None


class Watch(Duty):
    """Reloads by itself. `reload(code)` says what came of it and raises nothing."""

    name = "watch"

    def __init__(self, supervisor: Supervisor, reload: Callable[[bool], Awaitable[None]]) -> None:
        super().__init__()
        self._supervisor = supervisor
        self._reload = reload
        self._policy = Policy()
        self._moved = asyncio.Event()
        self._folders: set[Path] = set()
        self._follower: asyncio.Task[None] | None = None

    async def run_once(self) -> float:
        """Wait for something to move, at most a second; reload when what lies there is not what runs."""
        mode = self._supervisor.config.daemon.watch
        if mode is Mode.OFF or not self._supervisor.ready_once or self._supervisor.stopping:
            self._unfollow()
            return LOOK_S
        self._follow()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._moved.wait()
        if self._moved.is_set() or self._is_blind:
            self._moved.clear()
            await self._look(mode)
        return 0.0

    async def stop(self) -> None:
        """End; returns when nothing is watched any more."""
        follower = self._follower
        self._unfollow()
        await super().stop()
        if follower is not None:
            await asyncio.wait([follower])

    async def _look(self, mode: Mode) -> None:
        supervisor = self._supervisor
        files = _mark(supervisor.config.watched_files()) if supervisor.config.changed_on_disk() else None
        code = None
        if mode is Mode.CODE and supervisor.code_changed():
            # Also the files beside those that changed: a new module mends an import that failed.
            code = _mark(path for folder in self._folders for path in sorted(folder.glob("*.py")))
        decision = self._policy.decide(mode, files, code)
        if decision is not None:
            log.info("change on disk", files=files is not None, code=code is not None)
            await self._reload(decision)

    # --- the kernel's word -------------------------------------------------------------------------------------------

    @property
    def _is_blind(self) -> bool:
        return self._follower is None or self._follower.done()

    def _follow(self) -> None:
        folders = self._wanted_folders()
        if folders == self._folders and self._follower is not None:
            return
        self._unfollow()
        self._folders = folders
        self._follower = asyncio.create_task(self._followed(folders), name="watch files")
        self._moved.set()  # what moved before it was watched is seen by a look

    def _unfollow(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
        self._follower, self._folders = None, set()

    async def _followed(self, folders: set[Path]) -> None:
        from watchfiles import awatch

        try:
            changes = awatch(
                *sorted(folders), watch_filter=None, recursive=False, step=SETTLE_MS, debounce=SETTLE_MAX_MS
            )
            async for _ in changes:
                self._moved.set()
        except (OSError, RuntimeError) as error:
            log.warning("cannot watch files, looking once a second", error=str(error))

    def _wanted_folders(self) -> set[Path]:
        config = self._supervisor.config
        named = [config.path, drop_in_folder(config.path) / "any"]
        if config.daemon.watch is Mode.CODE:
            named += map(Path, self._supervisor.templates.imported_files())
        return folders_of(named)


def folders_of(files: Iterable[Path]) -> set[Path]:
    """Return the folders in which a change of these files shows, those of symlinks on the way among them."""
    folders = {file.parent for file in files}
    ways = {part for folder in folders for part in (folder, *folder.parents)}
    links = {part.parent for part in ways if part.is_symlink()}
    return {folder for folder in folders | links if folder.is_dir()}


def _mark(files: Iterable[Path]) -> Mark:
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            stat = file.stat()
            found.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
