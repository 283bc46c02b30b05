"""This start of the daemon: its id, and the record that lets the next start recover its jobs."""

from __future__ import annotations

import dataclasses
import secrets
import string
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.daemon.state_dir import Incarnation, ProcessMark, ServedQueue, mark, this_incarnation
from jobd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobd.daemon.state_dir import StateDir

log = event_log(__name__)

_ALPHABET = string.ascii_lowercase + string.digits


def new_id() -> str:
    """Return 12 random characters: what token prefixes of this start begin with."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))


class IncarnationRecord:
    """Keeps `incarnations.json` true: our processes and queues, and earlier incarnations not yet recovered."""

    def __init__(self, state: StateDir, incarnation_id: str) -> None:
        self.id = incarnation_id
        self.previous: list[Incarnation] = state.previous()
        self._state = state
        self._own = this_incarnation(incarnation_id)
        self._marks: dict[int, ProcessMark] = {}
        self._queues: dict[ServedQueue, None] = {}

    @property
    def folder(self) -> Path:
        """The state folder it lies in."""
        return self._state.folder

    def serves(self, served: ServedQueue) -> None:
        """A queue is going to be served; written with the next process."""
        self._queues.setdefault(served)

    def runs(self, pids: Iterable[int]) -> None:
        """Write down these processes; it is on disk when this returns.

        A record that cannot be written does not stop the work: after a kill of the daemon the stalled check gets those
        jobs, later than recovery would.
        """
        wanted = set(pids)
        self._marks = {pid: known for pid, known in self._marks.items() if pid in wanted}
        for pid in wanted - self._marks.keys():
            found = mark(pid)
            if found is not None:
                self._marks[pid] = found
        self._write()

    def restore(self) -> bool:
        """Hold the folder again and write the record, when somebody has removed them; tell whether that was needed.

        Raises:
            Refused: another daemon has it by now, or it cannot be used.
        """
        if not self._state.is_lost():
            return False
        self._state.hold_again()
        self._write()
        return True

    def settled(self, earlier: Incarnation) -> None:
        """The jobs of an earlier incarnation are recovered, or left to the stalled check."""
        self.previous = [other for other in self.previous if other.id != earlier.id]
        self._write()

    def finished(self) -> None:
        """Nothing of this incarnation is left in Redis: the next start has nothing to recover from it."""
        self._save(self.previous)

    def _write(self) -> None:
        own = dataclasses.replace(
            self._own, processes=(*self._own.processes, *self._marks.values()), queues=tuple(self._queues)
        )
        self._save([*self.previous, own])

    def _save(self, incarnations: list[Incarnation]) -> None:
        try:
            if self._state.is_lost():
                # Made again first: another daemon may have the folder by now, and the record there is its own.
                self._state.hold_again()
            self._state.record(incarnations)
        except (OSError, Refused) as error:
            log.exception("record of this incarnation cannot be written", error=str(error))
