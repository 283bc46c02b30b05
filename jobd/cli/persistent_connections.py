"""Connections that are kept, for a view that asks every second."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from jobd.cli.daemon_or_redis import call, connect
from jobd.errors import DaemonAway, Refused
from jobd.operations.operation import Needs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.cli.direct import Direct
    from jobd.cli.settings import Settings
    from jobd.operations.operation import Operation, P, R
    from jobd.protocol.control_client import ControlClient


class PersistentConnections:
    """Asks as `reach.ask` does, over one connection to the daemon, or to Redis where no daemon answers.

    For what only reads: when a connection turns out to be broken the question is put again on a new one. May be used
    from several threads; one question is asked at a time.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._daemon: ControlClient | None = None
        self._redis: Direct | None = None
        self._lock = threading.Lock()

    def ask(
        self, operation: Operation[P, R], params: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> R:
        """Return the document of one operation. Raises as `reach.ask`."""
        with self._lock:
            if operation.needs is Needs.DAEMON or not self._settings.redis:
                try:
                    return self._ask_either_daemon(operation, params, timeout)
                except DaemonAway:
                    if operation.needs is Needs.DAEMON:
                        raise
            return self._ask_redis(operation, params)

    def close(self) -> None:
        """Close what is open; a later question opens it again."""
        with self._lock:
            self._close_daemon()
            self._close_redis()

    def _ask_either_daemon(
        self, operation: Operation[P, R], params: Mapping[str, Any] | None, timeout: float | None
    ) -> R:
        """Ask the daemon of the last question or, when that one is gone, the one that was started after it."""
        if self._daemon is not None:
            try:
                return self._ask_daemon(operation, params, timeout)
            except DaemonAway:
                pass
        return self._ask_daemon(operation, params, timeout)

    def _ask_daemon(self, operation: Operation[P, R], params: Mapping[str, Any] | None, timeout: float | None) -> R:
        if self._daemon is None:
            self._daemon = connect(self._settings)
            self._close_redis()
        try:
            return call(self._daemon, operation, params, timeout=timeout)
        except Refused:
            raise  # an answer like any other
        except BaseException:
            # What comes next on it would be the answer to this question.
            self._close_daemon()
            raise

    def _ask_redis(self, operation: Operation[P, R], params: Mapping[str, Any] | None) -> R:
        from jobd.cli.direct import Direct

        if self._redis is None:
            self._redis = Direct(self._settings)
        try:
            return self._redis.perform(operation, params or {})
        except BaseException:
            self._close_redis()  # the next one looks anew which Redis it is
            raise

    def _close_daemon(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def _close_redis(self) -> None:
        if self._redis is not None:
            self._redis.close()
            self._redis = None
