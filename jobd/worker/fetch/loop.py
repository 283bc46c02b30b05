"""The turn loop: one round trip at a time, which finishes what is through and takes what there is room for.

Results that arrive while a turn is in flight ride in the next one, so batches grow by themselves under load. A turn
whose reply was lost is never sent again whole: see `_recover` (docs/internals.md "The turn").
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from jobd.engine.codes import SETTLED
from jobd.engine.job import TurnRequest
from jobd.engine.keys import Keys
from jobd.engine.locks import renew_locks
from jobd.engine.scripts import script
from jobd.engine.turn import turn
from jobd.errors import JobdError
from jobd.worker.fetch.connection import Wire
from jobd.worker.fetch.fetch_policy import Appetite
from jobd.worker.fetch.flight import Ahead, Flight
from jobd.worker.fetch.notes import Notes
from jobd.worker.fetch.reconnect_delay import Patience
from jobd.worker.fetch.recovery import adopt
from jobd.worker.fetch.wait import MarkerWait
from jobd.worker.own_log import log
from jobd.worker.run.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.job import Taken, TurnReply
    from jobd.engine.runner import Command
    from jobd.locate import RedisSource
    from jobd.protocol.board import BoardWriter
    from jobd.worker.run.attempt import Attempt
    from jobd.worker.run.slots import Slots

BEAT_S = 1.0
"""How often the loop shows that it turns."""

UNANSWERED_BEATS = 4
"""Beats after which a turn counts as lost. Not seconds: while a handler holds the GIL, the answer lies here unread."""


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
        self._marker = MarkerWait(source, keys, worker_name, self)
        self._ahead = Ahead(board)
        self._notes: Notes
        self._desk: Slots
        self._appetite: Appetite
        self._woken: asyncio.Future[None] | None = None
        self._signal = False
        self._ending = False
        self._in_flight: list[Attempt] = []
        self._late: list[Taken] = []
        self._flight: Flight | None = None
        self._sent_at = 0.0
        self._beats_unanswered = 0
        self._up = True
        self._patience = Patience()
        self._quieted: Callable[[], None] | None = None

    def attach(self, desk: Slots) -> None:
        """Serve this desk."""
        self._desk = desk
        self._appetite = Appetite(desk)
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
        self._appetite.quiet = True
        self._quieted = then
        self.wake()

    def resume(self) -> None:
        """Take again."""
        self._appetite.quiet = False
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
                    elif self._late:
                        jobs, self._late = await self._still_mine(self._late), []
                        self._begin(jobs)
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
        under_way = self._in_flight or self._late or self._ahead.take
        return self._ending and not (self._desk.running or under_way or self._has_news())

    def _take(self) -> int:
        """Return how many jobs the next turn should ask for on its own account."""
        return 0 if self._appetite.dry or self._ahead.take else self._appetite.room()

    def wants_marker(self) -> bool:
        """Whether a marker is of use: nothing was left at the last look, and there is room."""
        return self._appetite.dry and self._up and self._appetite.allowed()

    def hungry(self) -> None:
        """Ask for jobs again: there may be some, or more slots, or another limiter."""
        self._appetite.dry = False
        self.wake()

    async def _idle(self) -> None:
        if self._ahead.take and (self._appetite.quiet or not self._appetite.dry):
            # It runs now instead of at the next marker: the last take before the quiet, or the look somebody asked for.
            self._appetite.dry = True
            await self._unblock()
            await self._marker.left()
            return
        if self._appetite.quiet:
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
        self._appetite.look_for_suspects()

    def _tell_quieted(self) -> None:
        if self._appetite.quiet and self._quieted is not None:
            then, self._quieted = self._quieted, None
            then()

    def _wake_when_allowed(self) -> asyncio.TimerHandle | None:
        """Return a timer for the end of a rate limit, None without one."""
        rest = self._appetite.limit_s()
        return None if rest is None else asyncio.get_running_loop().call_later(rest, self.hungry)

    async def _unblock(self) -> None:
        """End the wait for a marker inside Redis, so that one popped in this very moment is read and put back."""
        if self._up:
            self._sent_at, self._beats_unanswered = time.monotonic(), 0
            await self._marker.unblock(self._wire)
            self._answered()

    # --- the turn sent ahead -----------------------------------------------------------------------------------------

    def turn_ahead(self, clock_ms: int) -> Command[TurnReply] | None:
        """Return the turn that goes behind the wait for a marker; None while anything runs or is in flight.

        A worker with a job may be kept busy by it (a C call holds the GIL), and whatever it took then would lie unread.
        """
        desk = self._desk
        busy = desk.running or self._late or self._sent_at or self._flight or self._has_news()
        take = 0 if busy else self._appetite.room()
        if not take:
            return None
        request = self._request([], take)
        request.clock_ms = clock_ms
        self._ahead.sent(take)
        return turn(self._keys, request)

    def landed(self, reply: TurnReply) -> None:
        """Take what the turn sent ahead has brought."""
        take, since = self._ahead.landed()
        if reply.jobs and time.monotonic() - since > self._desk.numbers.lock_ms / 3000:
            self._late = reply.jobs
        else:
            self._begin(reply.jobs)
        self._note_take(reply, take)
        self.wake()

    def lost_ahead(self, error: JobdError) -> None:
        """Look for what the turn sent ahead may have taken, as after any lost reply."""
        if self._up:
            self._went_down(error)
            self.wake()

    # --- one turn ----------------------------------------------------------------------------------------------------

    def _launch(self) -> Flight | None:
        """Send what is to be sent; None when that is nothing. Not to be called while a turn is in flight."""
        desk = self._desk
        runs = self._in_flight = desk.collect()
        take = 0 if self._ahead.take else self._appetite.room(len(runs))
        # After the results, so that what a job wrote is in Redis before it is finished.
        commands: list[Command[Any]] = self._notes.next()
        if runs or take:
            commands.append(turn(self._keys, self._request(runs, take)))
        if not commands:
            return None
        return Flight(runs, take, self._sent(), commands, self._wire.begin(*commands))

    def _request(self, runs: list[Attempt], take: int) -> TurnRequest:
        desk = self._desk
        return TurnRequest(
            time.time_ns() // 1_000_000, desk.numbers.lock_ms, self._token_prefix, self._name,
            [run.finish for run in runs if run.finish is not None], take, len(desk.running), desk.limiter,
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

    def _settled(self, runs: list[Attempt], codes: list[int]) -> None:
        """Take note of the codes: accepted, refused for good, or to be sent again as a failure."""
        again = refused(runs, codes) if any(codes) else []
        self._desk.ended += again
        self._desk.settle([run for run in runs if run not in again] if again else runs)

    async def _took(self, reply: TurnReply, take: int, sent_at: float) -> None:
        jobs = reply.jobs
        if jobs and time.monotonic() - sent_at > self._desk.numbers.lock_ms / 3000:
            jobs = await self._still_mine(jobs)
        self._begin(jobs)
        self._note_take(reply, take)

    def _note_take(self, reply: TurnReply, take: int) -> None:
        self._board.fetched(time.monotonic())
        appetite = self._appetite
        appetite.noted(reply, take)
        if appetite.dry and reply.limited_ms is None:
            self._marker.ask(reply.next_due_ms, busy=bool(self._desk.running))

    def _begin(self, jobs: list[Taken]) -> None:
        if jobs:
            self._desk.start(jobs, time.time_ns() // 1_000_000)

    async def _still_mine(self, jobs: list[Taken]) -> list[Taken]:
        """Return those whose locks are still ours: this reply was read so late that others may have them."""
        pairs = [(job.id, job.token) for job in jobs]
        (answers,) = await self._wire.run(renew_locks(self._keys, pairs, self._desk.numbers.lock_ms))
        return [job for job, answer in zip(jobs, answers, strict=True) if answer == 1]

    # --- Redis away --------------------------------------------------------------------------------------------------

    def _went_down(self, error: JobdError, *, tell: bool = True) -> None:
        self._wire.drop()
        self._answered()
        self._patience.failed(error)
        self._late = []  # found again with what else a lost reply may have brought
        self._ahead.take = 0  # the board goes on saying that a turn is in flight: it may hold jobs until `_recover`
        # Else it would be found dead after the return, by a turn sent along, and that would pass for another outage.
        self._marker.drop()
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
        self._appetite.dry = False
        self._board.redis_down(0.0)
        log.info("redis is back")
        self._report(True, None)

    async def _try_open(self) -> None:
        old = self._wire.client_id
        try:
            await self._wire.open()
            # A lost turn may still lie unread in its old connection; behind this it cannot run any more.
            await self._wire.end_client(old, self._wire.name)
            await self._marker.end_lost(self._wire)
        except JobdError as error:
            log.debug("redis is still away: %s", error)

    async def _beat(self) -> None:
        """Show that the loop turns; break off what Redis has left unanswered for too long."""
        while True:
            now = time.monotonic()
            self._board.beat(now)
            self._ahead.beat(now)
            if self._sent_at:
                self._beats_unanswered += 1
                if self._beats_unanswered >= UNANSWERED_BEATS:
                    self._wire.drop()
            if self._marker.give_up_at and now > self._marker.give_up_at:
                self._marker.drop()
            await asyncio.sleep(BEAT_S)
