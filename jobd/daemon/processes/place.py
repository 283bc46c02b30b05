"""One place of a pool: room for one worker, in a named state; each method is an event, and looks at the state first.

EMPTY ──start──▶ STARTING ──ready──▶ READY ──replace──▶ REPLACING ──ready──▶ READY (the new worker)
  ▲                  │                 │                    │
  └───── gone ───────┴───── gone ──────┘      the old one gone: STARTING with the new one
  │                                           the new one gone: READY with the old one, which was never let go
  └──wait──▶ BACKING_OFF ──start──▶ STARTING
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from jobd.daemon.processes.restarts import RestartDelay

if TYPE_CHECKING:
    from jobd.daemon.processes.worker_state import Worker


class PlaceState(StrEnum):
    """What a place is doing."""

    EMPTY = "empty"
    """Nobody is there: the queue is held back, or the start is about to be ordered."""
    BACKING_OFF = "backing off"
    """Nobody is there; a start is due later."""
    STARTING = "starting"
    READY = "ready"
    REPLACING = "replacing"
    """The worker serves on while its replacement starts."""


class Timer(Protocol):
    """Something that happens later unless it is cancelled."""

    def cancel(self) -> None:
        """It does not happen any more; harmless when it has."""
        ...


@dataclass(slots=True, eq=False)
class Place:
    """Room for one worker, counted from 1. `restarts` counts ends that nobody asked for."""

    number: int
    state: PlaceState = PlaceState.EMPTY
    worker: Worker | None = None
    """Who is in service here, or is to be."""
    replacement: Worker | None = None
    """Who takes its place when ready; set in REPLACING only."""
    grace_s: float | None = None
    """How long the replaced worker's jobs have; None: as long as they take."""
    delay: RestartDelay = field(default_factory=RestartDelay)
    restarts: int = 0
    timer: Timer | None = None
    """Set in BACKING_OFF only."""

    @property
    def vacant(self) -> bool:
        """Whether nobody is there, nor on the way."""
        return self.state in (PlaceState.EMPTY, PlaceState.BACKING_OFF)

    def workers(self) -> list[Worker]:
        """Return who is here."""
        return [worker for worker in (self.worker, self.replacement) if worker is not None]

    def start(self, worker: Worker) -> None:
        """A worker's start was ordered."""
        self._expect(PlaceState.EMPTY, PlaceState.BACKING_OFF)
        self._cancel_timer()
        self.state, self.worker = PlaceState.STARTING, worker

    def wait(self, timer: Timer) -> None:
        """The next start is due when the timer ends."""
        self._expect(PlaceState.EMPTY)
        self.state, self.timer = PlaceState.BACKING_OFF, timer

    def waited(self) -> None:
        """The timer has ended, or is not to be waited for any more."""
        if self.state is PlaceState.BACKING_OFF:
            self._cancel_timer()
            self.state = PlaceState.EMPTY

    def replace(self, replacement: Worker, grace_s: float | None) -> None:
        """A replacement's start was ordered; who is here serves on until it is ready."""
        self._expect(PlaceState.READY)
        self.state, self.replacement, self.grace_s = PlaceState.REPLACING, replacement, grace_s

    def ready(self, worker: Worker) -> Worker | None:
        """One of its workers is ready; return who has lost the place to it."""
        if self.state is PlaceState.STARTING and worker is self.worker:
            self.state = PlaceState.READY
        elif self.state is PlaceState.REPLACING and worker is self.replacement:
            old, self.worker, self.replacement = self.worker, worker, None
            self.state = PlaceState.READY
            return old
        return None

    def gone(self, worker: Worker) -> None:
        """One of its workers has ended."""
        if worker is self.replacement:
            self.state, self.replacement = PlaceState.READY, None
        elif worker is self.worker and self.state is PlaceState.REPLACING:
            self.state, self.worker, self.replacement = PlaceState.STARTING, self.replacement, None
        elif worker is self.worker:
            self.state, self.worker = PlaceState.EMPTY, None

    def give_up(self) -> list[Worker]:
        """The place is not wanted any more, or another's; return who has lost it."""
        self._cancel_timer()
        lost = self.workers()
        self.state, self.worker, self.replacement = PlaceState.EMPTY, None, None
        return lost

    def adopt(self, worker: Worker) -> list[Worker]:
        """A worker that is ready takes the place; return who has lost it."""
        lost = self.give_up()
        self.state, self.worker = PlaceState.READY, worker
        return lost

    def _expect(self, *states: PlaceState) -> None:
        if self.state not in states:
            raise RuntimeError(f"place {self.number} is {self.state.value}")

    def _cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
