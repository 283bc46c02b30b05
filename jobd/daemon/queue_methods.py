"""The methods about queues and jobs in Redis: what the command line does itself when no daemon answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.protocol.control import Method

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobd.daemon.control_server import Caller
    from jobd.daemon.params import Params
    from jobd.engine.runner import AsyncRunner


class QueueMethods:
    """Runs operations on Redis; for queues of this host, what the host knows is laid over what Redis says."""

    def __init__(
        self,
        runner: AsyncRunner,
        prefix: str,
        own_queues: Callable[[Sequence[str]], Awaitable[dict[str, dict[str, Any]]]],
    ) -> None:
        self._runner = runner
        self._prefix = prefix
        self._own_queues = own_queues

    def table(self) -> dict[Method, Callable[[Params, Caller], Awaitable[dict[str, Any]]]]:
        """Return the methods by name."""
        return {}
