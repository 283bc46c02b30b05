"""What running jobs want written: gathered in order, sent ahead of the turn that finishes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.turn import Note, annotate
from jobd.errors import RedisRefused
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command

BATCH = 200
"""Most notes of one script call: it blocks Redis while it writes them."""

BATCH_BYTES = 16 * 1024 * 1024
"""A write this large is sent by itself; Redis bounds what a connection may have under way."""


class Notes:
    """The notes of a worker.

    Those of a lost turn go first in the next batch, log lines left out: a second progress or data update changes
    nothing more, a second log line would. Notes that Redis refuses (its memory is full) are dropped and counted: no
    result may have to wait for them.
    """

    def __init__(
        self, keys: Keys, waiting: deque[Note], *, refused: Callable[[RedisRefused | None], None] = lambda why: None
    ) -> None:
        """`refused` is told when Redis begins to refuse notes, and with None when it takes them again."""
        self._keys = keys
        self._waiting = waiting
        self._again: list[Note] = []
        self._refused = refused
        self._dropped = 0

    def next(self) -> tuple[list[Command[Any]], list[Note]]:
        """Return the calls that write all that waits now, in order, and what they write."""
        if not self._waiting and not self._again:
            return [], []
        # Bounded: a job that never stops talking must not keep this turn from being sent.
        notes = [*self._again, *(self._waiting.popleft() for _ in range(len(self._waiting)))]
        self._again = []
        batches: list[list[Note]] = []
        size = 0
        for note in notes:
            size += len(note.payload)
            if size > BATCH_BYTES or not batches or len(batches[-1]) >= BATCH:
                batches.append([])
                size = len(note.payload)
            batches[-1].append(note)
        return [annotate(self._keys, batch) for batch in batches], notes

    def answered(self, results: Sequence[Any], notes: Sequence[Note]) -> None:
        """Know what became of the calls: written, or refused."""
        why = next((result for result in results if isinstance(result, RedisRefused)), None)
        if why is not None:
            if not self._dropped:
                log.warning("progress, data and log lines of jobs are dropped: %s", why)
                self._refused(why)
            self._dropped += len(notes)
        elif self._dropped and notes:
            log.warning("progress, data and log lines are written again, dropped: %d", self._dropped)
            self._dropped = 0
            self._refused(None)

    def lost(self, notes: Sequence[Note]) -> None:
        """Write these again: whether they arrived is unknown."""
        self._again += [note for note in notes if note.kind != "log"]

    @property
    def unconfirmed(self) -> bool:
        """Whether something was sent that may not have arrived."""
        return bool(self._again)
