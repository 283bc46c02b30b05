"""Import the handlers of a configuration in template processes that are thrown away."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobd.config.load import load
from jobd.config.problems import ConfigProblems
from jobd.daemon.processes.template_process import Template, TemplateError
from jobd.daemon.processes.worker_spec import child_environment, load_message, template_key
from jobd.daemon.reload.import_problems import import_problems
from jobd.locate import Secret

if TYPE_CHECKING:
    from jobd.cli.settings import Settings
    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.daemon.processes.worker_spec import TemplateKey

_HIDDEN = "***"
"""Stands for a secret that was not read: modules that only look whether a variable is set still import."""


@dataclass
class Imported:
    """What the imports gave: problems of the file, {handler: mode} of what is usable, remarks for people."""

    main: str
    problems: list[Problem] = field(default_factory=list)
    modes: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """Raise ConfigProblems when something does not import."""
        if self.problems:
            raise ConfigProblems(self.problems, self.main)


def load_all(settings: Settings, file: str | None = None, *, resolve: bool = False) -> Config:
    """Return the configuration; where it is wrong, what else does not import is told with it.

    Raises:
        ConfigProblems: all of it.
    """
    try:
        return load(file or settings.config, resolve_secrets=resolve, redis_url=settings.redis)
    except ConfigProblems as error:
        if error.partial is None:
            raise
        raise error.joined(import_handlers(error.partial, resolve=False).problems) from None


def import_handlers(config: Config, *, resolve: bool) -> Imported:
    """Import every handler, setup, teardown and wrap of every queue; the processes are gone afterwards.

    Args:
        resolve: Read the secrets of `env`; else a placeholder stands for them.
    """
    groups: dict[TemplateKey, list[Queue]] = {}
    for queue in config.queues.values():
        groups.setdefault(template_key(queue), []).append(queue)
    found = Imported(config.name)
    asyncio.run(_import_all(config, groups, found, resolve=resolve))
    return found


async def _import_all(
    config: Config, groups: dict[TemplateKey, list[Queue]], found: Imported, *, resolve: bool
) -> None:
    for key, queues in groups.items():
        known = key if resolve else replace(key, env=tuple((name, _shown(value)) for name, value in key.env))
        load = load_message(config, known, queues, os.environ, preload=True)
        template = Template(known, load, child_environment(config, os.environ))
        try:
            loaded = await template.start()
        except TemplateError as error:
            output = "\n".join(error.output) or None
            found.problems.append(config.problem_at(("queues", queues[0].name), str(error), output))
            continue
        finally:
            await template.stop()
        found.problems += import_problems(config, queues, loaded.handlers)
        found.modes |= {report.path: report.mode for report in loaded.handlers if report.mode}
        found.notices += [*loaded.notices, *([loaded.unsafe] if loaded.unsafe else [])]


def _shown(value: str | Secret) -> str:
    return _HIDDEN if isinstance(value, Secret) else value
