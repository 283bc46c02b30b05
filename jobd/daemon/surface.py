"""What the control socket needs of the supervisor; plain reads cost no Redis and no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jobd.config.model import Config
    from jobd.daemon.views import DaemonState, QueueView, ReloadReport, Step, StopReport


class Supervision(Protocol):
    """The supervisor as methods.py sees it. Moments are CLOCK_MONOTONIC seconds."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def generation(self) -> int:
        """Its number."""

    @property
    def state(self) -> DaemonState:
        """What the daemon as a whole is doing."""

    @property
    def started_at(self) -> float:
        """When it started."""

    @property
    def reloaded_at(self) -> float | None:
        """When the last reload was accepted, None before the first."""

    @property
    def last_reload(self) -> Mapping[str, Any] | None:
        """How the last reload ended, for a caller that went away meanwhile; None before the first."""

    @property
    def incarnation(self) -> str:
        """The id of this start of the daemon."""

    def degraded_by(self) -> list[str]:
        """What keeps it from being ready: "reports: breaker"."""

    def drift(self) -> list[str]:
        """What differs from the file, one text each."""

    def views(self) -> list[QueueView]:
        """The queues of this host."""

    def code_changed(self) -> bool:
        """Whether files of imported modules changed since a template read them."""

    def live(self) -> bool:
        """Whether the loop turned in the last 10 s."""

    def ready(self) -> bool:
        """Whether every queue that is not paused or quiet is served."""

    def quiet(self, queue: str | None, who: str) -> None:
        """Take no jobs of this queue, or of any, on this host."""

    def unquiet(self, queue: str | None, who: str) -> None:
        """Undo quiet."""

    def scale(self, queue: str, to: str | None, who: str) -> tuple[int, int]:
        """Change the number of workers ("5", "+1", "-1", None: as the file says); return (before, after)."""

    async def plan(self, config: Path | None) -> list[Step]:
        """Return what a reload, of another file when one is given, would do."""

    async def reload(self, code: bool, progress: Callable[[str], None], who: str) -> ReloadReport:
        """Read, check and apply the file."""

    async def stop(self, grace_ms: int | None, now: bool, progress: Callable[[str], None]) -> StopReport:
        """Stop everything; the daemon's process ends afterwards."""
