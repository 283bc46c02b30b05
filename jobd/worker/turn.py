"""The turn loop: one round trip at a time, which finishes what is through and takes what there is room for.

Results that arrive while a turn is in flight ride in the next one, so batches grow by themselves under load. A turn
whose reply was lost is never sent again whole: see `_recover` (docs/internals.md "The turn").
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.codes import SETTLED, Code
from jobd.engine.custody import renew_locks
from jobd.engine.job import Limiter, TurnReply, TurnRequest
from jobd.engine.keys import Keys
from jobd.engine.scripts import script
from jobd.engine.turn import MAX_TAKE, turn
from jobd.errors import JobdError
from jobd.worker.adopt import adopt
from jobd.worker.marker import MarkerWait
from jobd.worker.notes import Notes
from jobd.worker.patience import Patience
from jobd.worker.refusal import refused_by_children
from jobd.worker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.engine.job import Taken
    from jobd.engine.runner import Command
    from jobd.locate import RedisSource
    from jobd.protocol.board import BoardWriter
    from jobd.worker.desk import Desk
    from jobd.worker.run import Run

log = logging.getLogger("jobd.worker")

BEAT_S = 1.0
"""How often the loop shows that it turns."""

UNANSWERED_BEATS = 4
"""Beats after which a turn counts as lost. Not seconds: while a handler holds the GIL, the answer lies here unread."""

LONGEST_LIMIT_S = 30.0
"""Longest sleep for a limiter before asking again, as BullMQ's maximumRateLimitDelay."""

SUSPECTS_PATIENCE_S = 5.0
"""How long suspects may be passed over before a busy worker takes nothing else until it is empty and can run them."""


@dataclass(slots=True)
class _Flight:
    """A turn, or notes alone, on their way; `begun` gets the raw replies."""

    runs: list[Run]
    take: int
    sent_at: float
    commands: list[Command[Any]]
    begun: Awaitable[list[Any]]


class TurnLoop:
    """Fetches and finishes for one worker.

    `quiet` stops taking. `report` is told when Redis goes away and comes back.
    """

    def __init__(
        self, source: RedisSource, keys: Keys, board: BoardWriter, *, worker_name: str, token_prefix: str,
        report: Callable[[bool, str | None], None],
    ) -> None:  # fmt: skip
        self._keys = keys
        self._name = worker_name
        self._token_prefix = token_prefix
        self._board = board
        self._report = report
        self._wire = Wire(source, f"jobd-turn:{token_prefix.rstrip(':')}", (script("turn"), script("annotate")))
        self._marker = MarkerWait(source, keys, worker_name, self._wants_marker, self.hungry)
        self._notes: Notes
        self._desk: Desk
        self._woken: asyncio.Future[None] | None = None
        self._signal = False
        self._quiet = True
        self._ending = False
        self._dry = False
        self._not_before = 0.0
        self._suspects_since = 0.0
        self._in_flight: list[Run] = []
        self._flight: _Flight | None = None
        self._sent_at = 0.0
        self._beats_unanswered = 0
        self._up = True
        self._patience = Patience()
        self._quieted: Callable[[], None] | None = None

    def attach(self, desk: Desk) -> None:
        """Serve this desk."""
        self._desk = desk
        self._notes = Notes(self._keys, desk.notes)

    async def connect(self) -> bool:
        """Open the connection; return whether Redis is there. When not, the loop keeps trying."""
        try:
            await self._wire.open()
        except JobdError as error:
            self._went_down(error, tell=False)
        return self._up

    def wake(self) -> None:
        """Look for something to do; harmless at any time on the loop's thread."""
        self._signal = True
        woken = self._woken
        if woken is not None and not woken.done():
            woken.set_result(None)
            desk = self._desk
            if desk.ended and not desk.running and self._up and self._wire.sends_at_once:
                # Nothing else runs that could ride along: sent here and now, a turn of the event loop earlier.
                self._flight = self._launch()

    def quiet(self, then: Callable[[], None] | None = None) -> None:
        """Take nothing more; `then` is called once no take is in flight."""
        self._quiet = True
        self._quieted = then
        self.wake()

    def resume(self) -> None:
        """Take again."""
        self._quiet = False
        self._quieted = None
        self._marker.ask(None)
        self.hungry()

    def end(self) -> None:
        """End `run` as soon as every result in hand is in Redis and nothing runs."""
        self._ending = True
        self.quiet()

    async def run(self) -> None:
        """Turn until `end`, beating and waiting for markers beside it."""
        beside = [asyncio.ensure_future(self._beat()), asyncio.ensure_future(self._marker.run())]
        try:
            while not self._over():
                try:
                    if not self._up:
                        await self._recover()
                    elif self._flight or self._has_news() or self._take() > 0:
                        await self._turn()
                    else:
                        await self._idle()
                except JobdError as error:
                    self._went_down(error)
            await self._leave()
        finally:
            for task in beside:
                task.cancel()
            self._marker.drop()
            self._wire.drop()

    async def _leave(self) -> None:
        """Give back a marker that came in the last moment; without Redis there is none."""
        try:
            await self._unblock()
            await self._marker.left()
        except JobdError as error:
            log.debug("redis went away at the end: %s", error)

    # --- what is to be done ------------------------------------------------------------------------------------------

    def _has_news(self) -> bool:
        desk = self._desk
        return bool(desk.ended or desk.notes or self._notes.unconfirmed)

    def _over(self) -> bool:
        return self._ending and not (self._desk.running or self._in_flight or self._has_news())

    def _may_take(self) -> bool:
        desk = self._desk
        if self._quiet or desk.suspects or desk.free == 0:
            return False
        if desk.running and self._suspects_since and time.monotonic() - self._suspects_since > SUSPECTS_PATIENCE_S:
            return False
        start = max(self._not_before, desk.taking_from)
        return start == 0.0 or time.monotonic() >= start

    def _take(self) -> int:
        """Return how many jobs the next turn should ask for on its own account."""
        if self._dry or not self._may_take():
            return 0
        return min(self._desk.free, MAX_TAKE)

    def _wants_marker(self) -> bool:
        return self._dry and self._up and self._may_take()

    def hungry(self) -> None:
        """Ask for jobs again: there may be some, or more slots, or another limiter."""
        self._dry = False
        self.wake()

    async def _idle(self) -> None:
        if self._quiet:
            await self._unblock()
            self._marker.rest()
            self._tell_quieted()
        if self._signal:
            self._signal = False
            return
        self._woken = asyncio.get_running_loop().create_future()
        timer = self._wake_when_allowed()
        try:
            await self._woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()
        if self._suspects_since and not self._desk.running:
            # Passed over while this worker was busy; now they can run here.
            self._dry = False

    def _tell_quieted(self) -> None:
        if self._quiet and self._quieted is not None:
            then, self._quieted = self._quieted, None
            then()

    def _wake_when_allowed(self) -> asyncio.TimerHandle | None:
        """Return a timer for the end of a rate limit, None without one."""
        start = max(self._not_before, self._desk.taking_from)
        if start == 0.0 or self._quiet:
            return None
        rest = start - time.monotonic()
        if rest <= 0:
            # Over: forgotten at once, or every idle moment from here on would ask again.
            self._not_before = self._desk.taking_from = 0.0
        return asyncio.get_running_loop().call_later(max(0.0, rest), self.hungry)

    async def _unblock(self) -> None:
        """End the wait for a marker inside Redis, so that one popped in this very moment is read and put back."""
        blocked = self._marker.blocked_client
        if blocked and self._up:
            await self._wire.words(("CLIENT", "UNBLOCK", blocked))

    # --- one turn ----------------------------------------------------------------------------------------------------

    def _launch(self) -> _Flight | None:
        """Send what is to be sent; None when that is nothing. Not to be called while a turn is in flight."""
        desk = self._desk
        runs = self._in_flight = desk.collect()
        take = min(desk.free, MAX_TAKE, desk.slots_left + len(runs)) if self._may_take() else 0
        # After the results, so that what a job wrote is in Redis before it is finished.
        commands: list[Command[Any]] = self._notes.next()
        if runs or take:
            commands.append(turn(self._keys, self._request(runs, take)))
        if not commands:
            return None
        return _Flight(runs, take, self._sent(), commands, self._wire.begin(*commands))

    def _request(self, runs: list[Run], take: int) -> TurnRequest:
        desk, numbers = self._desk, self._desk.numbers
        limiter = None
        if numbers.limiter_max is not None and numbers.limiter_duration_ms is not None:
            limiter = Limiter(numbers.limiter_max, numbers.limiter_duration_ms)
        return TurnRequest(
            time.time_ns() // 1_000_000, numbers.lock_ms, self._token_prefix, self._name,
            [run.finish for run in runs if run.finish is not None], take, len(desk.running), limiter,
        )  # fmt: skip

    async def _turn(self) -> None:
        flight, self._flight = self._flight or self._launch(), None
        if flight is None:
            return
        replies = await self._wire.finish(flight.commands, flight.begun)
        self._answered()
        self._notes.written()
        if flight.runs:
            self._in_flight = []
            self._settled(flight.runs, replies[-1].codes)
        if flight.take:
            await self._took(replies[-1], flight.take, flight.sent_at)
        self._patience.worked()
        self._board.turn_sent(0.0)

    def _sent(self) -> float:
        at = self._sent_at = time.monotonic()
        self._beats_unanswered = 0
        self._board.turn_sent(at)
        return at

    def _answered(self) -> None:
        self._sent_at = 0.0

    def _settled(self, runs: list[Run], codes: list[int]) -> None:
        """Take note of the codes: accepted, refused for good, or to be sent again as a failure."""
        desk = self._desk
        if any(codes):
            again = []
            for run, code in zip(runs, codes, strict=True):
                if code in (Code.PENDING_CHILDREN, Code.FAILED_CHILDREN):
                    run.finish = refused_by_children(run, code)
                    again.append(run)
                elif code:
                    log.warning("finish refused: job %s, code %d", run.taken.id, code)
            desk.ended += again
            runs = [run for run in runs if run not in again]
        desk.settle(runs)

    async def _took(self, reply: TurnReply, take: int, sent_at: float) -> None:
        now = time.monotonic()
        self._board.fetched(now)
        jobs = reply.jobs
        if jobs and now - sent_at > self._desk.numbers.lock_ms / 3000:
            jobs = await self._still_mine(jobs)
        self._begin(jobs)
        self._not_before = 0.0
        self._dry = len(reply.jobs) < take
        if reply.suspects_skipped:
            self._suspects_since = self._suspects_since or now
        elif take:
            self._suspects_since = 0.0
        if reply.limited_ms is not None:
            self._not_before = now + min(reply.limited_ms / 1000, LONGEST_LIMIT_S)
        elif self._dry:
            self._marker.ask(reply.next_due_ms)

    def _begin(self, jobs: list[Taken]) -> None:
        if jobs:
            self._desk.start(jobs, time.time_ns() // 1_000_000)

    async def _still_mine(self, jobs: list[Taken]) -> list[Taken]:
        """Return the jobs whose locks are still ours: this reply was read so late that others may have them."""
        pairs = [(job.id, job.token) for job in jobs]
        (answers,) = await self._wire.run(renew_locks(self._keys, pairs, self._desk.numbers.lock_ms))
        return [job for job, answer in zip(jobs, answers, strict=True) if answer == 1]

    # --- Redis away --------------------------------------------------------------------------------------------------

    def _went_down(self, error: JobdError, *, tell: bool = True) -> None:
        self._wire.drop()
        self._answered()
        self._patience.failed(error)
        if self._up:
            self._up = False
            self._board.redis_down(time.monotonic())
            log.warning("redis is away: %s", error)
            if tell:
                self._report(False, str(error))

    async def _recover(self) -> None:
        """Reconnect, then find out what the lost turn did before anything new is asked for."""
        while not self._wire.is_open:
            self._tell_quieted()
            if self._over():
                return
            await asyncio.sleep(self._patience.next_s())
            await self._try_open()
        runs = self._in_flight
        if runs:
            finishes = [run.finish for run in runs if run.finish is not None]
            request = TurnRequest(
                time.time_ns() // 1_000_000, self._desk.numbers.lock_ms, self._token_prefix, self._name, finishes
            )
            self._sent()
            *_, reply = await self._wire.run(*self._notes.next(), turn(self._keys, request))
            self._notes.written()
            self._in_flight = []
            self._settled(runs, [0 if code in SETTLED else code for code in reply.codes])
        self._sent()
        who, held = (self._name, self._token_prefix), self._desk.held()
        jobs = await adopt(self._wire, self._keys, who, held=held, lock_ms=self._desk.numbers.lock_ms)
        self._answered()
        self._begin(jobs)
        self._board.turn_sent(0.0)
        self._up = True
        self._dry = False
        self._board.redis_down(0.0)
        log.info("redis is back")
        self._report(True, None)

    async def _try_open(self) -> None:
        old = self._wire.client_id
        try:
            await self._wire.open()
            # The lost turn may still lie unread in the old connection; behind this it cannot run any more.
            await self._wire.end_namesake(old)
        except JobdError as error:
            log.debug("redis is still away: %s", error)

    async def _beat(self) -> None:
        """Show that the loop turns; break off what Redis has left unanswered for too long."""
        while True:
            now = time.monotonic()
            self._board.beat(now)
            if self._sent_at:
                self._beats_unanswered += 1
                if self._beats_unanswered >= UNANSWERED_BEATS:
                    self._wire.drop()
            if self._marker.give_up_at and now > self._marker.give_up_at:
                self._marker.drop()
            await asyncio.sleep(BEAT_S)
