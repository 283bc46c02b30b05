"""The workers of one queue: how many, started again when they die, held back when they keep dying.

A machine of events: none of its methods waits, so nothing can happen in the middle of one. After each event `_go_on`
makes the places agree with what is wanted. What is to be done (start a process, a timer) is done by its `PoolActions`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING
from weakref import WeakSet

from jobd.daemon.logs import event_log
from jobd.daemon.processes.autoscale import Autoscale
from jobd.daemon.processes.exit_status import Ending, describe, log_exit
from jobd.daemon.processes.grace import end_after
from jobd.daemon.processes.hold import HeldBy, Hold
from jobd.daemon.processes.place import Place, PlaceState
from jobd.daemon.processes.worker_spec import numbers_of
from jobd.daemon.processes.worker_state import Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobd.clock import Clock
    from jobd.config.model import Queue
    from jobd.daemon.processes.pool_actions import PoolActions
    from jobd.daemon.views import Order

log = event_log(__name__)


class PoolState(StrEnum):
    """Whether workers may be started."""

    OPEN = "open"
    CLOSED = "closed"
    """The daemon stops: whoever ends is not replaced."""
    REMOVED = "removed"
    """The queue is not of this host's any more: its workers drain."""


class Pool:
    """All workers of one queue: those that have a place, and those that lost theirs and leave (they drain)."""

    def __init__(
        self, number: int, queue: Queue, generation: int, actions: PoolActions, clock: Clock, *,
        quieted_by: Order | None = None,
    ) -> None:  # fmt: skip
        self.number = number
        self.queue = queue
        self.generation = generation
        self.places: dict[int, Place] = {}
        self.leaving: list[Worker] = []
        self.autoscale = Autoscale(queue.scaling, queue.workers)
        self.scaled_to: int | None = None
        self.scaled_by: Order | None = None
        self.quieted_by = quieted_by
        self.withheld = False
        """Whether its workers take nothing for the moment because Redis is full."""
        self.state = PoolState.OPEN
        self.removed_in: int | None = None
        """The generation that removed it; set in REMOVED only."""
        self.hold = Hold(queue.name, clock, actions.later, self._hold_elapsed)
        self.was_ready = False
        self.clock = clock
        self._actions = actions
        self._serial = 0
        self._to_roll: WeakSet[Worker] = WeakSet()

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.queue.name

    @property
    def wanted(self) -> int:
        """How many workers there are to be."""
        return self.autoscale.workers if self.scaled_to is None else self.scaled_to

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is fetched on this host, by the file or at run time."""
        return self.queue.quiet or self.quieted_by is not None

    @property
    def is_open(self) -> bool:
        """Whether workers may be started: the queue is of this host and the daemon does not stop."""
        return self.state is PoolState.OPEN

    def workers(self) -> Iterator[Worker]:
        """Yield every worker that has not ended, the places first."""
        for place in self.places.values():
            yield from place.workers()
        yield from self.leaving

    def has_ready(self) -> bool:
        """Tell whether a worker is there to take jobs."""
        return any(worker.takes_jobs for worker in self.workers())

    # --- orders ------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Make the places agree with `wanted`: start what is missing, drain what is too much."""
        if not self.is_open:
            return
        for number in sorted(self.places, reverse=True):
            if number > self.wanted:
                self._let_go(self.places.pop(number).give_up())
        for number in range(1, self.wanted + 1):
            self.places.setdefault(number, Place(number))
        self._go_on()

    def adopt(self, worker: Worker) -> None:
        """Put a trial worker, held and ready, into the first place and let it take jobs; who was there drains.

        One that has ended since is not put anywhere: the place is filled like any other.
        """
        self.hold.release()
        if worker.state is WorkerState.GONE:
            self.fill()
            return
        worker.owner = self
        self._apply_quiet(worker)
        if self.is_open and self.wanted and worker.state is WorkerState.HELD:
            worker.release()
            self.was_ready = True
            replaced = self.places.setdefault(1, Place(1)).adopt(worker)
            for old in replaced:
                old.replaced_for = "reload"
            self._let_go(replaced)
        else:
            self._let_go([worker])
        self._go_on()

    def new_worker(self, place: int) -> Worker:
        """Return a worker of this pool that nobody has spawned yet."""
        worker = Worker(self.new_name(place), self.name, self.generation, self, self.clock, hold=False)
        self._apply_quiet(worker)
        return worker

    def new_name(self, place: int) -> str:
        """Return a worker's part of the token, new within this incarnation."""
        self._serial += 1
        return f"{self.number}.{place}.{self._serial}"

    def reconfigure(self, queue: Queue, generation: int) -> None:
        """Start workers by another configuration from now on; those that run are left as they are.

        A number of workers set at run time holds until the file changes that key.
        """
        if queue.scaling != self.queue.scaling:
            self.scaled_to = None
        self.autoscale.use(queue.scaling)
        self.queue, self.generation = queue, generation

    def apply_in_place(self, queue: Queue, generation: int) -> None:
        """Run by new numbers, without a restart."""
        self.reconfigure(queue, generation)
        numbers = numbers_of(queue)
        for place in self.places.values():
            for worker in place.workers():
                worker.settings(numbers, generation)
        self.apply_quiet()
        self.fill()

    def apply_quiet(self) -> None:
        """Make every worker agree with `is_quiet` and `withheld`."""
        for worker in self.workers():
            self._apply_quiet(worker)

    def replace(self, place: Place, grace_s: float | None = None) -> bool:
        """Begin to replace one worker; it serves on until the new one is ready, and stays when that cannot start.

        False when the place is not in a state for it: nobody is ready there, or nothing may be started.
        """
        if not self.is_open or self.hold.is_on or place.state is not PlaceState.READY:
            return False
        replacement = self.new_worker(place.number)
        place.replace(replacement, grace_s)
        self._actions.spawn(self, replacement)
        return True

    async def roll(self, on_replaced: Callable[[int], None]) -> None:
        """Replace every worker of an older generation, one by one, each replacement ready first.

        `on_replaced` is told how many are done. Returns early when the queue is held back (a replacement could not
        start: the old workers serve on and are replaced when that works again), removed or stopped.
        """
        self._begin_roll()
        total, told = len(self._stale()), 0
        while self.is_open:
            done = total - len(self._stale())
            for count in range(told + 1, done + 1):
                on_replaced(count)
            told = max(told, done)
            if not self._stale() or self.hold.is_on:
                return
            await self._actions.changed(1.0)

    async def filled(self) -> None:
        """Return when no place is on its way to a ready worker: all are there, or wait for a restart, or are held."""
        while self.is_open and not self.hold.is_on and self._is_starting:
            await self._actions.changed(1.0)

    def reset(self) -> str | None:
        """Start workers again although the queue is held back; return what held it, None when nothing did."""
        was = self.hold.reason or None if self.hold.is_on else None
        self.hold.release()
        self._go_on()
        return was

    def trial_gone(self, worker: Worker) -> None:
        """A trial worker of this queue has ended; it held no job."""
        self._actions.lost(self, worker)

    def remove(self, generation: int) -> None:
        """Drain every worker: the queue is not of this host's any more."""
        self.state, self.removed_in = PoolState.REMOVED, generation
        self._cancel_timers()
        for place in self.places.values():
            self._let_go(place.give_up())
        self.places.clear()
        self._actions.notify()

    def stop_restarting(self) -> None:
        """Start nothing any more: the daemon stops."""
        if self.state is PoolState.OPEN:
            self.state = PoolState.CLOSED
        self._cancel_timers()

    # --- what its workers tell (worker_state.Owner) ------------------------------------------------------------------

    def worker_ready(self, worker: Worker) -> None:
        """A worker is ready."""
        log.info("worker ready", queue=self.name, pid=worker.pid, generation=worker.generation)
        place = self.place_of(worker)
        if place is not None:
            old, grace_s = place.ready(worker), place.grace_s
            self._let_go([old] if old is not None else [], grace_s)
            self.was_ready = True
            self.hold.setup_worked()
        self._go_on()

    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None:
        """A worker cannot work; its exit follows. The queue is held apart with growing delay."""
        log.error("worker cannot start", queue=self.name, pid=worker.pid, stage=stage, reason=reason)
        if self.place_of(worker) is not None and self.is_open and (not self.hold.is_on or self.hold.is_probing):
            self._hold_for_setup(f"{stage} failed: {reason}")

    def worker_quieted(self, worker: Worker) -> None:
        """A worker starts no job any more: somebody may wait for that."""
        del worker
        self._actions.notify()

    def worker_gone(self, worker: Worker) -> None:
        """A worker's process has ended."""
        log_exit(worker, self.name, self.clock.monotonic())
        place = self.place_of(worker)
        if worker in self.leaving:
            self.leaving.remove(worker)
        self._actions.lost(self, worker)
        if place is not None:
            was_replacement = worker is place.replacement
            place.gone(worker)
            if self.is_open:
                self._count_exit(place, worker, was_replacement=was_replacement)
        self._go_on()

    def place_of(self, worker: Worker) -> Place | None:
        """Return the place of a worker, or of the worker it is to replace; None when it has none."""
        return next((place for place in self.places.values() if worker in (place.worker, place.replacement)), None)

    # --- decisions ---------------------------------------------------------------------------------------------------

    @property
    def _is_starting(self) -> bool:
        """Whether some place's worker is on its way."""
        return any(place.state is PlaceState.STARTING for place in self.places.values())

    def _go_on(self) -> None:
        """After an event: start what may be started, go on with a roll."""
        if self.is_open:
            if self.hold.is_probing and not self._is_starting:
                # Whoever tried has died without a word, or its place went with a scale.
                self._probe_lost()
            if not self.hold.is_on:
                for place in self.places.values():
                    if place.state is PlaceState.EMPTY:
                        self._start(place)
                self._roll_on()
        self._actions.notify()

    def _begin_roll(self) -> None:
        """Whoever runs by an older configuration is to go; whoever is not up yet goes at once."""
        for place in self.places.values():
            old = [worker for worker in place.workers() if worker.generation != self.generation]
            if place.state is PlaceState.STARTING and old:
                self._let_go(place.give_up())
            elif place.replacement in old and place.replacement is not None:
                self._let_go([place.replacement])
                place.gone(place.replacement)
            for worker in old:
                worker.replaced_for = "reload"
            self._to_roll.update(old)
        self._go_on()

    def _roll_on(self) -> None:
        """Replace the next stale worker when none is being replaced."""
        if not any(place.state is PlaceState.REPLACING for place in self.places.values()):
            place = next((place for place in self._stale() if place.state is PlaceState.READY), None)
            if place is not None:
                self.replace(place)

    def _stale(self) -> list[Place]:
        """The places whose worker is still to be replaced."""
        return [place for place in self.places.values() if place.worker in self._to_roll]

    def _count_exit(self, place: Place, worker: Worker, *, was_replacement: bool) -> None:
        """Decide after an exit when the place is filled again, and whether the queue is held back."""
        if worker.ending is Ending.START_FAILED:
            return  # the hold of the failed start says when
        place.restarts += 1
        if not worker.ending.counted:
            return
        rule, how = self.queue.breaker, worker.cause or describe(worker.status)
        if rule is not None and self.hold.crashed(rule, how):
            self._cancel_restarts()
            return
        if was_replacement and not self.hold.is_on:
            self._hold_for_setup(f"start failed: a replacement died ({how})")
            return
        ready_for = self.clock.monotonic() - worker.ready_at if worker.ready_at is not None else 0.0
        done = worker.board.jobs_done if worker.board is not None else 0
        delay = place.delay.after_exit(ready_for, done)
        if delay and not self.hold.is_on and place.state is PlaceState.EMPTY:
            log.info("worker restarts later", queue=self.name, delay_ms=round(delay * 1000))
            place.wait(self._actions.later(delay, lambda: self._backoff_elapsed(place)))

    def _backoff_elapsed(self, place: Place) -> None:
        place.waited()
        self._go_on()

    def _start(self, place: Place) -> None:
        worker = self.new_worker(place.number)
        place.start(worker)
        self._actions.spawn(self, worker)

    def _let_go(self, workers: list[Worker], grace_s: float | None = None) -> None:
        """Whoever has no place drains; with `grace_s` what it still runs after that time is handed back."""
        for worker in workers:
            self.leaving.append(worker)
            worker.drain()
            if grace_s is not None:
                end_after(grace_s, worker, self._actions.later)

    # --- holding back ------------------------------------------------------------------------------------------------

    def _hold_for_setup(self, reason: str) -> None:
        self._cancel_restarts()
        self.hold.setup_failed(reason)
        self._actions.notify()

    def _hold_elapsed(self) -> None:
        place = next((place for place in self.places.values() if place.vacant), None)
        if self.hold.by is HeldBy.SETUP and place is not None:
            self._start(place)
        elif self.hold.by is not HeldBy.SETUP:
            self.hold.release()
        self._go_on()

    def _probe_lost(self) -> None:
        if any(place.vacant for place in self.places.values()):
            self._hold_for_setup(self.hold.reason)
        else:
            self.hold.release()

    def _cancel_restarts(self) -> None:
        """A place that waits for its restart does not any more: the queue's hold says when."""
        for place in self.places.values():
            place.waited()

    def _cancel_timers(self) -> None:
        self._cancel_restarts()
        self.hold.cancel_timer()

    def _apply_quiet(self, worker: Worker) -> None:
        if self.is_quiet or self.withheld:
            worker.quiet()
        else:
            worker.resume()
