"""What the view shows: one look at the daemon, or without one at Redis. Blocks; called on a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobd.cli.persistent_connections import PersistentConnections
from jobd.errors import DaemonAway, JobdError
from jobd.operations import table
from jobd.words import natural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobd.cli.settings import Settings
    from jobd.operations.documents.daemon import LogLine, Status
    from jobd.operations.documents.history import QueueHistory
    from jobd.operations.documents.queues import QueueRow
    from jobd.operations.documents.workers import Worker

_LIMIT_S = 5.0
_LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was seen. `status` is None without a daemon; `trouble` says what could not be asked, and why."""

    status: Status | None = None
    queues: Sequence[QueueRow] = ()
    workers: Sequence[Worker] = ()
    history: Mapping[str, QueueHistory] = field(default_factory=dict)
    log: Sequence[LogLine] = ()
    trouble: str | None = None


class SnapshotReader:
    """Looks again and again; one look at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = PersistentConnections(settings)
        self._cursor: int | None = None
        self._log: list[LogLine] = []
        self._last = Snapshot()

    def look(self) -> Snapshot:
        """Return what is there now. Where nobody answers: what was seen last, and the trouble."""
        try:
            self._last = self._redis() if self._settings.redis else self._daemon()
        except (JobdError, TimeoutError, OSError) as error:
            self._cursor = None
            seen = self._last
            return Snapshot(seen.status, seen.queues, seen.workers, seen.history, seen.log, str(error).splitlines()[0])
        return self._last

    def close(self) -> None:
        """Close the connections that the looks kept open."""
        self._connections.close()

    def _daemon(self) -> Snapshot:
        try:
            status = self._connections.ask(table.STATUS, timeout=_LIMIT_S)
        except DaemonAway:
            self._cursor = None
            return self._redis()
        own = sorted(status["queues"], key=lambda queue: natural(queue["name"]))
        queues: list[QueueRow] = [dict(queue) for queue in own]  # type: ignore[misc]
        workers = [worker for queue in own for worker in queue["workers"]]
        return Snapshot(status, queues, workers, self._history([row["name"] for row in queues]), self._lines())

    def _redis(self) -> Snapshot:
        queues = sorted(self._connections.ask(table.QUEUE_LIST)["queues"], key=lambda row: natural(row["name"]))
        return Snapshot(queues=queues, history=self._history([row["name"] for row in queues]))

    def _history(self, names: list[str]) -> dict[str, QueueHistory]:
        if not names:
            return {}
        try:
            found = self._connections.ask(table.HISTORY, {"queues": names})["queues"]
        except JobdError:
            return dict(self._last.history)  # the charts can wait; counts cannot
        return {queue["name"]: queue for queue in found}

    def _lines(self) -> list[LogLine]:
        asked = {"limit": _LOG_LINES} if self._cursor is None else {"after": self._cursor, "limit": _LOG_LINES}
        try:
            found = self._connections.ask(table.LOGS, asked, timeout=_LIMIT_S)
        except JobdError:
            return self._log  # the status socket has no log
        if self._cursor is None:
            self._log = []
        self._cursor = found["cursor"]
        self._log = [*self._log, *found["lines"]][-_LOG_LINES:]
        return self._log
