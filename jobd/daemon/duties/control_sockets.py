"""Keep the daemon where people look for it: its sockets lie where their paths lead, also after those changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jobd.daemon.control.server import ControlServer

log = event_log(__name__)

TICK_S = 1.0


class ControlSockets(Duty):
    """Looks once a second whether each control socket is still found by its path.

    A deploy that flips `current` leads the path into another release; somebody may remove the file. `on_moved` is told
    the folder in which a socket was made anew.
    """

    name = "control sockets"

    def __init__(self, servers: Sequence[ControlServer], on_moved: Callable[[Path], None]) -> None:
        super().__init__()
        self._servers = servers
        self._on_moved = on_moved
        self._told: set[Path] = set()

    async def run_once(self) -> float:
        """Listen again where it is needed; what keeps it from that is logged once."""
        for server in self._servers:
            try:
                moved = server.follow()
            except Refused as error:
                if server.path not in self._told:
                    self._told.add(server.path)
                    log.warning("control socket is no longer ours", path=str(server.path), reason=str(error))
                continue
            self._told.discard(server.path)
            if moved:
                self._on_moved(server.path.parent)
        return TICK_S
