"""The life of the embedded server: its states, one method per event.

Decisions only; `EmbeddedRedis` (redis_server.py) carries them out.
"""

from __future__ import annotations

from enum import Enum

from jobd.daemon.processes.restarts import RestartDelay


class ServerState(Enum):
    """Where the server is in its life."""

    OFF = "off"
    STARTING = "starting"
    """For the first time: that it fails is told to whoever asked for it, and not tried again."""
    UP = "up"
    DOWN = "down"
    """It died, or could not be started again; the next try comes by itself."""
    RESTARTING = "restarting"
    STOPPING = "stopping"


class ServerLife:
    """The machine. An event that means nothing in a state leaves it as it is."""

    def __init__(self) -> None:
        self.state = ServerState.OFF
        self.pause_s = 0.0
        """How long to wait before the next try, while it is DOWN."""
        self._delay = RestartDelay()
        self._up_at = 0.0

    def start_asked(self) -> bool:
        """Somebody wants it; return whether it is to be started for that."""
        if self.state is not ServerState.OFF:
            return False
        self.state = ServerState.STARTING
        self._delay.reset()
        return True

    def answered(self, now: float) -> bool:
        """It answers, its data loaded; return whether anybody still wants it."""
        if self.state not in (ServerState.STARTING, ServerState.RESTARTING):
            return False
        self.state = ServerState.UP
        self._up_at = now
        return True

    def start_failed(self) -> None:
        """It ended before it answered, or nothing could be started."""
        if self.state is ServerState.STARTING:
            self.state = ServerState.OFF
        elif self.state is ServerState.RESTARTING:
            self.state = ServerState.DOWN
            self.pause_s = self._delay.after_exit(0.0)

    def died(self, now: float) -> None:
        """It ended, and nobody had asked for that."""
        if self.state is ServerState.UP:
            self.state = ServerState.DOWN
            self.pause_s = self._delay.after_exit(now - self._up_at)

    def pause_over(self) -> None:
        """The time before the next try is over."""
        if self.state is ServerState.DOWN:
            self.state = ServerState.RESTARTING

    def stop_asked(self) -> bool:
        """Nobody wants it any more; return whether there is something to end for that."""
        if self.state in (ServerState.OFF, ServerState.STOPPING):
            return False
        self.state = ServerState.STOPPING
        return True

    def stopped(self) -> None:
        """Its process is gone, and what it had made for others to find it."""
        if self.state is ServerState.STOPPING:
            self.state = ServerState.OFF
