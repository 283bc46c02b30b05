"""What running jobs want written: gathered in order, sent ahead of the turn that finishes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.turn import Note, annotate

if TYPE_CHECKING:
    from collections import deque

    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command

BATCH = 200
"""Most notes of one script call: it blocks Redis while it writes them."""

BATCH_BYTES = 16 * 1024 * 1024
"""A write this large is sent by itself; Redis bounds what a connection may have under way."""


class Notes:
    """The notes of a worker. What was sent and not confirmed goes first in the next batch, its log lines left out:

    a second progress or data update changes nothing more, a second log line would.
    """

    def __init__(self, keys: Keys, waiting: deque[Note]) -> None:
        self._keys = keys
        self._waiting = waiting
        self._sent: list[Note] = []

    def next(self) -> list[Command[Any]]:
        """Return the calls that write all that waits now, in order."""
        again = [note for note in self._sent if note.kind != "log"]
        batches: list[list[Note]] = [again] if again else []
        self._sent = list(again)
        size = BATCH_BYTES
        # Bounded: a job that never stops talking must not keep this turn from being sent.
        for _ in range(len(self._waiting)):
            note = self._waiting.popleft()
            size += len(note.payload)
            if size > BATCH_BYTES or not batches or len(batches[-1]) >= BATCH:
                batches.append([])
                size = len(note.payload)
            batches[-1].append(note)
            self._sent.append(note)
        return [annotate(self._keys, batch) for batch in batches]

    def written(self) -> None:
        """Forget what was sent: it is in Redis."""
        self._sent.clear()

    @property
    def unconfirmed(self) -> bool:
        """Whether something was sent that may not have arrived."""
        return any(note.kind != "log" for note in self._sent)
