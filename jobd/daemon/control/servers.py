"""Which control sockets a daemon has: the one that may do everything and, when a group may look, a second one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.control.server import ControlServer
from jobd.protocol.control import STATUS_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.config.tables import DaemonSettings
    from jobd.daemon.control.dispatch import Dispatch
    from jobd.daemon.control.socket_activation import PassedSockets


def control_servers(
    path: Path, settings: DaemonSettings, dispatch: Dispatch, passed: PassedSockets
) -> list[ControlServer]:
    """Return the servers of a daemon whose control socket is `path`, not started."""
    servers = [ControlServer(path, dispatch.call, group=settings.socket_group, passed=passed.at(path))]
    if settings.status_group is not None:
        path = path.with_name(STATUS_SOCKET)
        servers.append(ControlServer(path, dispatch.call_reading, group=settings.status_group, passed=passed.at(path)))
    return servers
