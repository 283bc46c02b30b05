"""The templates of this daemon: one for each (python, path, env, working folder), the newest of each forks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobd.daemon.logs import event_log
from jobd.daemon.processes.template_process import Template, TemplateDied
from jobd.daemon.processes.worker_spec import child_environment, extras_of, load_message, uses_of
from jobd.protocol.worker import HandlerUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobd.config.model import Config, Queue
    from jobd.daemon.processes.worker_spec import TemplateKey
    from jobd.protocol.worker import HandlerReport, Load, Loaded

log = event_log(__name__)


START_TRIES = 3
"""How often a template is started that ends while it loads: the first end may be somebody's kill."""


@dataclass(slots=True)
class Loading:
    """A template that has loaded and is not in use yet, with what its imports gave."""

    template: Template
    reports: list[HandlerReport]
    files: dict[str, int]
    inodes: dict[str, tuple[int, int]]
    """{file: (device, inode) when its import was through}."""


class _Stamp(NamedTuple):
    mtime_ns: int
    inode: tuple[int, int]


def _stamp(name: str) -> _Stamp | None:
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return _Stamp(found.st_mtime_ns, (found.st_dev, found.st_ino))


def _inodes(files: Iterable[str]) -> dict[str, tuple[int, int]]:
    return {name: stamp.inode for name in files if (stamp := _stamp(name)) is not None}


class TemplateStore:
    """Owns every template, also the retired ones that still have workers."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._current: dict[TemplateKey, Loading] = {}
        self._all: list[Template] = []
        self._locks: dict[TemplateKey, asyncio.Lock] = {}
        self._stopped = False
        self._loading = 0

    @property
    def is_loading(self) -> bool:
        """Whether a template imports handlers; each has LOAD_LIMIT_S for it."""
        return self._loading > 0

    def pids(self) -> set[int]:
        """Return the pids of all templates that have not ended."""
        return {template.pid for template in self._living() if template.pid}

    def has(self, key: TemplateKey, queues: Iterable[Queue]) -> bool:
        """Tell whether the current template of `key` has everything loaded that these queues name."""
        loading = self._current.get(key)
        if loading is None or not loading.template.usable:
            return False
        known = {HandlerUse(report.path, report.wanted, report.batch) for report in loading.reports if report.ok}
        wanted = {use for queue in queues for use in (*uses_of(queue), *map(HandlerUse, extras_of(queue)))}
        return wanted <= known

    async def make(self, config: Config, key: TemplateKey, queues: Sequence[Queue]) -> Loading:
        """Return a new template that has imported what these queues name; it is not in use before `install`.

        Without preload, and where forking after the imports is not safe, the imports happen in a process that is
        thrown away, and the template itself is bare: each worker then imports by itself.

        Raises:
            TemplateError: it could not be started.
            InputError: a secret of its environment cannot be read.
        """
        environment = child_environment(config, self._environ)
        template, loaded = await self._start(
            key, load_message(config, key, queues, self._environ, preload=True), environment
        )
        for notice in loaded.notices:
            log.info("import notice", notice=notice)
        loading = Loading(template, loaded.handlers, loaded.files, _inodes(loaded.files))
        if key.preload and loaded.unsafe is None:
            return loading
        if key.preload:
            log.warning("each worker imports by itself: forking after the imports is not safe", why=loaded.unsafe)
        await template.stop()
        bare = load_message(config, key, queues, self._environ, preload=False)
        loading.template, _ = await self._start(key, bare, environment)
        return loading

    async def _start(self, key: TemplateKey, load: Load, environment: dict[str, str]) -> tuple[Template, Loaded]:
        """Start a template; one that is killed meanwhile is tried again, an import that always crashes is told."""
        for attempt in range(START_TRIES):
            template = Template(key, load, environment)
            self._all.append(template)
            self._loading += 1
            try:
                return template, await template.start()
            except TemplateDied as error:
                log.warning("template died while it loaded", error=str(error), output=error.output or None)
                if attempt == START_TRIES - 1 or self._stopped:
                    raise
            finally:
                self._loading -= 1
        raise AssertionError  # not reached: the last try returns or raises

    def install(self, loading: Loading) -> None:
        """Fork from this template from now on; the one before ends with its last worker."""
        before = self._current.get(loading.template.key)
        self._current[loading.template.key] = loading
        if before is not None and before.template is not loading.template:
            before.template.retire()

    async def get(self, config: Config, key: TemplateKey, queues: Sequence[Queue]) -> Template:
        """Return the current template of `key`; one that died is replaced.

        Raises:
            TemplateError, InputError: as `make`.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            loading = self._current.get(key)
            if loading is None or not loading.template.usable:
                loading = await self.make(config, key, queues)
                self.install(loading)
            return loading.template

    def retire_others(self, keys: Iterable[TemplateKey]) -> None:
        """Retire the templates that no queue needs any more."""
        wanted = set(keys)
        for key in [key for key in self._current if key not in wanted]:
            self._current.pop(key).template.retire()
        self._locks = {key: lock for key, lock in self._locks.items() if key in wanted or lock.locked()}

    async def discard(self, loading: Loading) -> None:
        """End a template that is not going to be used."""
        await loading.template.stop()

    async def stop(self) -> None:
        """End all templates; what they forked dies with them."""
        self._stopped = True
        await asyncio.gather(*(template.stop() for template in self._all))
        self._all.clear()
        self._current.clear()

    def imported_files(self) -> set[str]:
        """Return the files that the current templates have imported."""
        return {name for loading in self._current.values() for name in loading.files}

    def changed_files(self) -> list[str]:
        """Return imported files of the current templates that are not what was imported any more."""
        changed = []
        for loading in self._current.values():
            for name, mtime_ns in loading.files.items():
                found = _stamp(name)
                # Another file of the same age: a deploy flipped a symlink on the way to it.
                if found is None or found.mtime_ns != mtime_ns or found.inode != loading.inodes.get(name, found.inode):
                    changed.append(name)
        return changed

    def _living(self) -> list[Template]:
        self._all = [template for template in self._all if template.pid == 0 or template.alive]
        return self._all
