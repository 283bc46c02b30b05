"""The workers of one queue: how many, started again when they die, held back when they keep dying."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from jobd.daemon.logs import event_log
from jobd.daemon.processes.exits import Ending, describe
from jobd.daemon.processes.restarts import FIRST_DELAY_S, BreakerState, RestartDelay
from jobd.daemon.processes.worker_spec import numbers_of
from jobd.daemon.processes.worker_state import Worker
from jobd.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobd.clock import Clock
    from jobd.config.model import Queue

log = event_log(__name__)

SETTLE_LIMIT_S = 65.0
"""How long a replacement may take until it is ready; a little above what a worker is given (worker_process.py)."""


class Hold(Enum):
    """Why a queue's workers are not started."""

    BREAKER = "breaker"
    SETUP = "setup"


class Hands(Protocol):
    """What a pool needs done for it."""

    def spawn(self, pool: Pool, worker: Worker) -> None:
        """Begin to make the worker's process; what comes of it is told to the worker."""
        ...

    def lost(self, pool: Pool, worker: Worker) -> None:
        """A worker's process has ended: see to the jobs it held."""
        ...

    def notify(self) -> None:
        """Something of the pool changed that somebody may wait for."""
        ...


@dataclass(slots=True)
class Place:
    """Room for one worker, counted from 1. `timer` runs while a restart is due later."""

    number: int
    worker: Worker | None = None
    delay: RestartDelay = field(default_factory=RestartDelay)
    restarts: int = 0
    timer: asyncio.TimerHandle | None = None


class Pool:
    """All workers of one queue: those in their places, and those that leave (drain, or wait to be replaced)."""

    def __init__(self, number: int, queue: Queue, generation: int, hands: Hands, clock: Clock) -> None:
        self.number = number
        self.queue = queue
        self.generation = generation
        self.places: dict[int, Place] = {}
        self.leaving: list[Worker] = []
        self.scaled_to: int | None = None
        self.scaled_by: str | None = None
        self.quieted_by: str | None = None
        self.removed_in: int | None = None
        self.hold: Hold | None = None
        self.hold_reason = ""
        self.hold_until = 0.0
        self.was_ready = False
        self.breaker = BreakerState()
        self._hands = hands
        self.clock = clock
        self._serial = 0
        self._hold_timer: asyncio.TimerHandle | None = None
        self._setup_delay = RestartDelay()
        self._stopping = False

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.queue.name

    @property
    def wanted(self) -> int:
        """How many workers there are to be."""
        return self.queue.workers if self.scaled_to is None else self.scaled_to

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is fetched on this host, by the file or at run time."""
        return self.queue.quiet or self.quieted_by is not None

    def workers(self) -> Iterator[Worker]:
        """Yield every worker that has not ended, the places first."""
        yield from (place.worker for place in self.places.values() if place.worker is not None)
        yield from self.leaving

    def has_ready(self) -> bool:
        """Tell whether a worker is there to take jobs."""
        return any(worker.takes_jobs for worker in self.workers())

    # --- orders ------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Make the places agree with `wanted`: start what is missing, drain what is too much."""
        if self._stopping or self.removed_in is not None:
            return
        for number in sorted(self.places, reverse=True):
            if number > self.wanted:
                self._give_up(self.places.pop(number))
        for number in range(1, self.wanted + 1):
            place = self.places.setdefault(number, Place(number))
            if place.worker is None and place.timer is None and self.hold is None:
                self._start(place)

    def adopt(self, worker: Worker) -> None:
        """Put a trial worker, held and ready, into the first place and let it take jobs; who was there drains."""
        self._release_hold()
        place = self.places.setdefault(1, Place(1))
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
        worker.owner = self
        old, place.worker = place.worker, worker
        self.was_ready = True
        self._apply_quiet(worker)
        worker.release()
        if old is not None:
            self.leaving.append(old)
            old.drain()

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
        if queue.workers != self.queue.workers:
            self.scaled_to = None
        self.queue, self.generation = queue, generation

    def apply_in_place(self, queue: Queue, generation: int) -> None:
        """Run by new numbers, without a restart."""
        self.reconfigure(queue, generation)
        numbers = numbers_of(queue)
        for place in self.places.values():
            if place.worker is not None:
                place.worker.settings(numbers, generation)
        self.apply_quiet()
        self.fill()

    def apply_quiet(self) -> None:
        """Make every worker agree with `is_quiet`."""
        for worker in self.workers():
            self._apply_quiet(worker)

    async def roll(self, on_replaced: Callable[[int], None]) -> None:
        """Replace every worker that is of an older generation, one by one, each replacement ready first.

        `on_replaced` is told how many are done. A replacement that is not ready in time does not keep the old worker.
        """
        replaced = 0
        for number in sorted(self.places):
            place = self.places.get(number)
            if place is None or place.worker is None or place.worker.generation == self.generation:
                continue
            await self.replace(place)
            replaced += 1
            on_replaced(replaced)
        for worker in [worker for worker in self.leaving if worker.generation != self.generation]:
            worker.drain()

    async def replace(self, place: Place) -> None:
        """Replace one worker: the new one is ready before the old one drains.

        One that is only worn out stays when its replacement can not start; one of an older generation goes.
        """
        old = place.worker
        if old is not None:
            self.leaving.append(old)
            place.worker = None
        self._start(place)
        await self._settled(place)
        if old is None:
            return
        new = place.worker
        if (new is not None and new.takes_jobs) or old.generation != self.generation or old not in self.leaving:
            old.drain()
            return
        self.leaving.remove(old)
        place.worker = old
        if new is not None:
            self.leaving.append(new)
            new.drain()

    async def filled(self) -> None:
        """Return when every place has a ready worker, or one of them is not going to be."""
        for place in list(self.places.values()):
            await self._settled(place)

    def trial_gone(self, worker: Worker) -> None:
        """A trial worker of this queue has ended; it held no job."""
        self._hands.lost(self, worker)

    def remove(self, generation: int) -> None:
        """Drain every worker: the queue is not of this host's any more."""
        self.removed_in = generation
        self._cancel_timers()
        for place in list(self.places.values()):
            self._give_up(place)
        self.places.clear()
        self._hands.notify()

    def stop_restarting(self) -> None:
        """Start nothing any more: the daemon stops."""
        self._stopping = True
        self._cancel_timers()

    # --- what its workers tell (process.Owner) -----------------------------------------------------------------------

    def worker_ready(self, worker: Worker) -> None:
        """A worker is ready."""
        log.info("worker ready", queue=self.name, pid=worker.pid, generation=worker.generation)
        if self._place_of(worker) is not None:
            self.was_ready = True
            self._setup_delay.reset()
            if self.hold is Hold.SETUP:
                self._release_hold()
                self.fill()
        self._hands.notify()

    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None:
        """A worker cannot work: the queue is held apart with growing delay."""
        log.error("worker cannot start", queue=self.name, pid=worker.pid, stage=stage, reason=reason)
        if self._place_of(worker) is None or self._stopping:
            return
        if self.hold is not Hold.SETUP or self._hold_timer is None:
            delay = max(1.0, self._setup_delay.after_exit(0.0))
            self._hold(Hold.SETUP, f"{stage} failed: {reason}", delay)

    def worker_gone(self, worker: Worker) -> None:
        """A worker's process has ended."""
        self._log_exit(worker)
        place = self._place_of(worker)
        if worker in self.leaving:
            self.leaving.remove(worker)
        if place is not None:
            place.worker = None
        self._hands.lost(self, worker)
        if place is not None and not self._stopping and place.number <= self.wanted:
            self._restart(place, worker)
        self._hands.notify()

    # --- decisions ---------------------------------------------------------------------------------------------------

    def _restart(self, place: Place, worker: Worker) -> None:
        if worker.ending is Ending.START_FAILED:
            if self.hold is None:
                self._restart_later(place, place.delay.after_exit(0.0) or FIRST_DELAY_S)
            return  # else the hold's timer tries again
        now = self.clock.monotonic()
        rule = self.queue.breaker
        crashed = worker.ending.counted
        if rule is not None and crashed and self.breaker.exited(now, rule.crashes, rule.within_ms / 1000):
            reason = f"{rule.crashes} crashes in {format_duration(rule.within_ms)} ({describe(worker.status)})"
            self._hold(Hold.BREAKER, reason, rule.retry_ms / 1000)
            return
        ready_for = now - worker.ready_at if worker.ready_at is not None else 0.0
        done = worker.board.jobs_done if worker.board is not None else 0
        delay = place.delay.after_exit(ready_for, done) if worker.ending.counted else 0.0
        place.restarts += 1
        if self.hold is not None:
            return
        if delay == 0.0:
            self._start(place)
            return
        self._restart_later(place, delay)

    def _restart_later(self, place: Place, delay: float) -> None:
        log.info("worker restarts later", queue=self.name, delay_ms=round(delay * 1000))
        place.timer = asyncio.get_running_loop().call_later(delay, self._backoff_elapsed, place)

    def _backoff_elapsed(self, place: Place) -> None:
        place.timer = None
        if place.worker is None and self.hold is None and self.places.get(place.number) is place:
            self._start(place)

    def _start(self, place: Place) -> None:
        place.worker = self.new_worker(place.number)
        self._hands.spawn(self, place.worker)

    def _hold(self, hold: Hold, reason: str, delay_s: float) -> None:
        self._cancel_timers()
        self.hold, self.hold_reason = hold, reason
        self.hold_until = self.clock.monotonic() + delay_s
        log.warning("queue held back", queue=self.name, why=hold.value, reason=reason, retry_ms=round(delay_s * 1000))
        self._hold_timer = asyncio.get_running_loop().call_later(delay_s, self._hold_elapsed)
        self._hands.notify()

    def _hold_elapsed(self) -> None:
        self._hold_timer = None
        if self.hold is Hold.SETUP:
            # One worker tries; the others follow when it is ready.
            numbers = range(1, self.wanted + 1)
            places = [self.places.setdefault(number, Place(number)) for number in numbers]
            place = next((place for place in places if place.worker is None), None)
            if place is not None:
                self._start(place)
                return
        self._release_hold()
        self.fill()

    def _release_hold(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        self.breaker.reset()
        self.hold, self.hold_reason = None, ""

    def _cancel_timers(self) -> None:
        for place in self.places.values():
            if place.timer is not None:
                place.timer.cancel()
                place.timer = None
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None

    def _give_up(self, place: Place) -> None:
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
        worker, place.worker = place.worker, None
        if worker is not None:
            self.leaving.append(worker)
            worker.drain()

    async def _settled(self, place: Place) -> None:
        """Wait until the place's worker is ready, or is not going to be."""
        end = self.clock.monotonic() + SETTLE_LIMIT_S
        while self.clock.monotonic() < end and not self._stopping and self.hold is None:
            if place.worker is not None and place.worker.takes_jobs:
                return
            await asyncio.sleep(0.01)

    def _apply_quiet(self, worker: Worker) -> None:
        if self.is_quiet:
            worker.quiet()
        else:
            worker.resume()

    def _place_of(self, worker: Worker) -> Place | None:
        return next((place for place in self.places.values() if place.worker is worker), None)

    def _log_exit(self, worker: Worker) -> None:
        write = log.info if worker.ending is Ending.ASKED else log.warning
        write(
            "worker exited", queue=self.name, pid=worker.pid or None, generation=worker.generation,
            exit=describe(worker.status) if worker.pid else None, why=worker.ending.value, cause=worker.cause,
            uptime_ms=round((self.clock.monotonic() - worker.started_at) * 1000),
        )  # fmt: skip
