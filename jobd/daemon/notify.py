"""Tell systemd what the daemon does (sd_notify(3)); without $NOTIFY_SOCKET every call does nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWN_VARIABLES = frozenset({
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
})  # fmt: skip
"""Meant for the daemon itself (sd_notify(3), sd_listen_fds(3)); a child that inherited them could speak in its name."""

PULSE_S = 5.0
"""How often systemd is asked for twice as much time."""

_log = event_log(__name__)


class Notifier:
    """The connection to the service manager. Nothing is raised: a manager that is away does not stop the daemon."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._failed = False
        self.watchdog_s = _watchdog_s(env)
        """Seconds between signs of life, half of what systemd waits; None when it does not watch."""

    def ready(self, status: str = "") -> None:
        """The daemon is ready, at start or again after a reload."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """A reload began; `ready` ends it. The next pulse may come later than a short TimeoutStartSec= bears."""
        more = f"EXTEND_TIMEOUT_USEC={round(PULSE_S * 2_000_000)}"
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", more)

    def stopping(self, status: str = "") -> None:
        """The daemon stops."""
        self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> None:
        """The loop turns."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, ms: int) -> None:
        """Starting, reloading or stopping takes up to `ms` more from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={ms * 1000}")

    def _send(self, *assignments: str) -> None:
        if not self._address or not assignments:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(assignments).encode(), self._address)
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log.warning("service manager not reached", error=str(error))
            self._failed = True


class Pulse:
    """Feeds the watchdog, and asks systemd for more time while what it waits for makes progress.

    Without that a start of more than TimeoutStartSec is killed and begun again, for ever.
    """

    def __init__(self, notifier: Notifier, makes_progress: Callable[[], bool]) -> None:
        self._notifier = notifier
        self._makes_progress = makes_progress
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; harmless when begun before."""
        if self._task is None:
            self._task = asyncio.create_task(self._loop(), name="pulse")

    async def stop(self) -> None:
        """End; returns when it has ended. Harmless when it never began."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def run_once(self) -> float:
        """Tell systemd what there is to tell; return the seconds until the next time."""
        if self._makes_progress():
            self._notifier.extend_timeout(round(PULSE_S * 2000))
        self._notifier.watchdog()
        return min(PULSE_S, self._notifier.watchdog_s or PULSE_S)

    async def _loop(self) -> None:
        pause = self.run_once()
        while True:
            await asyncio.sleep(pause)
            pause = self.run_once()


def without_own(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child: what systemd gave to the daemon itself is not in it."""
    return {name: value for name, value in env.items() if name not in OWN_VARIABLES}


def _address(named: str) -> str:
    # sd_notify(3): "/…" is a path, "@…" an abstract socket; vsock and the like do not reach a service on this host.
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else ""


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _watchdog_s(env: Mapping[str, str]) -> float | None:
    # sd_watchdog_enabled(3): WATCHDOG_PID, when set, names the process that is meant.
    usec, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit() and int(usec) > 0) or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000
