"""Who draws and serves the numbers, when the extra is there: jobd.metrics, which the daemon does not import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.operations.numbers import Numbers


class MetricsPage(Protocol):
    """The page of one daemon."""

    @property
    def worker_environment(self) -> dict[str, str]:
        """What workers need in their environment so that their own numbers appear on the page."""
        ...

    def prepare(self) -> None:
        """Make ready for the first worker."""
        ...

    async def worker_ended(self) -> None:
        """Keep what an ended worker counted itself."""
        ...

    async def text(self, numbers: Numbers, accept: str = "") -> tuple[str, str]:
        """Return (the page, its content type)."""
        ...

    def serve(
        self,
        address: str,
        numbers: Callable[[], Awaitable[Numbers]],
        live: Callable[[], tuple[bool, str | None]],
        ready: Callable[[], tuple[bool, str | None]],
    ) -> None:
        """Serve it at an address, with the probes; `live` is asked on any thread."""
        ...

    async def stop(self) -> None:
        """Serve it no more."""
        ...
