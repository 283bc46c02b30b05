"""What every request has at hand: where documents come from, who asks, what must not be shown, what is under way."""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jobd.errors import ConfigError, DaemonAway, JobdError
from jobd.locate import find_config
from jobd.operations import table
from jobd.operations.operation import Needs
from jobd.web.log_redaction import LogRedaction
from jobd.web.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from jobd.operations.documents.daemon import ConfigShown, Status
    from jobd.operations.operation import Operation, P, R
    from jobd.web.access import AccessRules
    from jobd.web.audit_log import AuditLog
    from jobd.web.daemon_or_redis import DaemonOrRedis
    from jobd.web.queue_names import QueueNames
    from jobd.web.render import Renderer

FRAME_AGE_S = 2.0
"""How old the line on top of a page may be, and what a page that is open gets sent."""

_CONFIG_AGE_S = 5.0
_TOLD_MAX = 200


@dataclass(slots=True)
class Running:
    """A change that takes its time. Its lines are shown on every open page while it lasts."""

    title: str
    user: str
    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Add a line; the last ones are kept."""
        self.lines = [*self.lines[-49:], text]


@dataclass(slots=True)
class Told:
    """What a change answered, shown on the page that the browser goes to next."""

    text: str
    good: bool = True


class Site:
    """One running `jobd web`."""

    def __init__(
        self, reach: DaemonOrRedis, rules: AccessRules, renderer: Renderer, names: QueueNames, record: AuditLog, *,
        read_only: bool, config: str | None, hide: tuple[str, ...],
    ) -> None:  # fmt: skip
        """Prepare. `hide` are globs that hold besides those of the configuration in force."""
        self.reach = reach
        self.rules = rules
        self.renderer = renderer
        self.names = names
        self.record = record
        self.read_only = read_only
        self.config = config
        self.repeated = LogRedaction()
        self.running: list[Running] = []
        self._hide = hide
        self._told: dict[str, Told] = {}

    @property
    def may_change(self) -> bool:
        """Whether pages have anything that changes something."""
        return not self.read_only and not self.reach.reads_only

    def tell(self, told: Told) -> str:
        """Keep what a change answered; return what the next page's address names it by."""
        while len(self._told) >= _TOLD_MAX:
            self._told.pop(next(iter(self._told)))
        key = secrets.token_urlsafe(8)
        self._told[key] = told
        return key

    def told(self, key: str) -> Told | None:
        """Return what was kept under this name, and forget it."""
        return self._told.pop(key, None)

    def under_way(self, running: Running) -> Iterator[Running]:
        """Show something while it lasts."""
        self.running.append(running)
        try:
            yield running
        finally:
            self.running.remove(running)

    async def hidden(self, visit: Visit) -> Redaction:
        """Return what must not be shown: the globs of the configuration in force and those of the file.

        Raises:
            JobdError: a daemon answers and does not tell its configuration; better no page than an open one.
        """
        try:
            shown = await visit.shared(table.CONFIG_SHOW, {"origin": True}, max_age_s=_CONFIG_AGE_S)
        except DaemonAway:
            return Redaction(self._hide)
        return Redaction((*self._hide, *globs_of(shown)))


class Visit:
    """One request: who asks for which page, and how its documents are read."""

    def __init__(self, site: Site, request: Request, *, max_age_s: float = 0.0) -> None:
        """Prepare. `max_age_s` above 0 shares documents with other visits: for pages that are open."""
        self.site = site
        self.request = request
        self.user: str = request.scope["user"]
        self.path: str = request.scope["path"]
        self.query: Mapping[str, str] = request.query_params
        self.names = {name: unquote(value) for name, value in request.path_params.items()}
        self._max_age_s = max_age_s

    @property
    def behalf(self) -> str | None:
        """The user's name, where it is not the one that this process runs as."""
        return None if self.user == self.site.rules.owner else self.user

    async def read(self, operation: Operation[P, R], params: Mapping[str, Any] | None = None) -> R:
        """Return a document. Raises as DaemonOrRedis.ask."""
        if self._max_age_s:
            return await self.shared(operation, params, max_age_s=self._max_age_s)
        return await self.site.reach.ask(operation, params, who=self.user)

    async def shared(
        self, operation: Operation[P, R], params: Mapping[str, Any] | None = None, *, max_age_s: float = FRAME_AGE_S
    ) -> R:
        """Return a document that may be so old. Raises as DaemonOrRedis.ask."""
        return await self.site.reach.shared(operation, params, who=self.user, max_age_s=max_age_s)

    async def status(self) -> Status | None:
        """Return the daemon's status, None when there is none."""
        try:
            return await self.read(table.STATUS)
        except DaemonAway:
            return None

    async def config(self) -> ConfigShown | None:
        """Return the keys of the configuration in force, else of the file, with their places; None without a file.

        Raises:
            ConfigError: there is no daemon, and the file is wrong.
        """
        try:
            return await self.read(table.CONFIG_SHOW, {"origin": True})
        except DaemonAway:
            import os

            if find_config(self.site.config, os.environ) is None:
                return None
        from jobd.config.load import load
        from jobd.operations.configuration import shown

        return shown(load(self.site.config), origin=True)


def can(visit: Visit, operation: Operation[Any, Any], *, daemon: bool) -> bool:
    """Return whether a page may offer an operation. `daemon`: one answers."""
    return visit.site.may_change and (daemon or operation.needs is not Needs.DAEMON)


def globs_of(shown: ConfigShown) -> tuple[str, ...]:
    """Return the globs of `[web] hide` in a configuration."""
    entries = shown.get("entries", [])
    text = next((entry["value"] for entry in entries if entry["key"] == "web.hide"), "[]")
    return tuple(tomllib.loads(f"hide = {text}")["hide"])


def globs_of_file(config: str | None) -> tuple[str, ...]:
    """Return the globs of the file, nothing without one or when it is broken: the daemon's count then."""
    from jobd.config.load import load
    from jobd.operations.configuration import shown

    try:
        return globs_of(shown(load(config), origin=True))
    except (ConfigError, JobdError, OSError):
        return ()
