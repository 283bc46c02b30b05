"""The last resort for locks: the worker renews what it runs when its daemon does not.

The daemon renews from outside, where no handler can hold it up (docs/processes.md). But a daemon can be stopped alone,
by a debugger, a disk that does not answer or a machine out of memory, while its workers run on; another host would take
their jobs. It shows on the board when it last renewed. A handler that holds the GIL or the event loop holds this up.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from jobd.engine.codes import Code
from jobd.engine.locks import renew_locks
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.protocol.worker import Cancel
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.keys import Keys
    from jobd.protocol.board import BoardWriter
    from jobd.worker.fetch.connection import Connection
    from jobd.worker.run.slots import Slots

OVERDUE = 0.6
"""Part of a lock's life: the daemon renews after a third of it."""

LOOKS = 6
"""Looks in the life of a lock, so that the one behind OVERDUE comes well before the end."""

AFTER_OUTAGE_S = 1.0
"""What the daemon has for the first renewal once Redis is back."""

_LOST = frozenset({Code.LOCK_OF_ANOTHER, Code.MISSING_LOCK})


class OwnRenewal:
    """Asks Redis for nothing as long as the daemon does its work."""

    def __init__(
        self, connection: Connection, keys: Keys, board: BoardWriter, slots: Slots, *, may_ask: Callable[[], bool],
        lost: Callable[[], None],
    ) -> None:  # fmt: skip
        """`may_ask`: the connection is in order; `lost` is told that it is not any more."""
        self._connection = connection
        self._keys = keys
        self._board = board
        self._slots = slots
        self._may_ask = may_ask
        self._lost = lost
        self._renewed_at = monotonic()
        self._told_of = -1.0
        self._refusal = ""
        self._due = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep; `run` renews when that is overdue meanwhile."""
        end = monotonic() + seconds
        while (rest := end - monotonic()) > 0:
            await asyncio.sleep(min(rest, self._slots.numbers.lock_ms / 1000 / LOOKS))
            if self._is_overdue():
                self._due.set()

    def redis_is_back(self) -> None:
        """Leave the next renewal to the daemon, but not for long: locks may have run out meanwhile."""
        allowed_s = OVERDUE * self._slots.numbers.lock_ms / 1000
        self._renewed_at = monotonic() - allowed_s + min(AFTER_OUTAGE_S, allowed_s)

    async def run(self) -> None:
        """Renew whenever it is overdue, until cancelled."""
        while True:
            await self._due.wait()
            if self._may_ask():  # else what brings Redis back finds out first what is still ours
                await self._renew()
            self._due.clear()

    def _is_overdue(self) -> bool:
        since = max(self._board.renewed_at, self._renewed_at)
        return bool(self._slots.running) and monotonic() - since > OVERDUE * self._slots.numbers.lock_ms / 1000

    async def _renew(self) -> None:
        began, held = monotonic(), [attempt.taken for attempt in self._slots.running.values()]
        slots = list(self._slots.running)
        if self._told_of != self._board.renewed_at:
            self._told_of = self._board.renewed_at
            log.warning("locks are renewed here: the daemon does not do it, jobs: %d", len(held))
        pairs = [(taken.id, taken.token) for taken in held]
        try:
            (codes,) = await self._connection.run(renew_locks(self._keys, pairs, self._slots.numbers.lock_ms))
        except RedisRefused as error:
            if self._refusal != str(error):
                self._refusal = str(error)
                log.warning("Redis refused to renew locks: %s", error)
            return
        except RedisUnavailable:
            self._lost()
            return
        self._renewed_at = began
        for slot, taken, code in zip(slots, held, codes, strict=True):
            if isinstance(code, str):
                self._slots.cancel(Cancel(slot, taken.id, taken.attempts_started, "cancelled", code))
            elif code in _LOST:
                self._slots.cancel(Cancel(slot, taken.id, taken.attempts_started, "lock-lost", ""))
