"""The fetch loop: does what the fetch policy decides, on the turns' connection.

One turn finishes what is through and takes what there is room for. Results that arrive while turns are under way ride
in the next one, so batches grow by themselves under load.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from jobd.engine.scripts import script
from jobd.errors import JobdError
from jobd.worker.fetch.connection import Connection
from jobd.worker.fetch.fetch_policy import FetchPolicy, Link, Order, Step
from jobd.worker.fetch.notes import Notes
from jobd.worker.fetch.outage import Outage
from jobd.worker.fetch.own_renewal import OwnRenewal
from jobd.worker.fetch.recovery import LostResults, adopt
from jobd.worker.fetch.turns import Holder, Turns
from jobd.worker.fetch.wait import MarkerWait, RedisClock
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.job import TurnReply
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command
    from jobd.errors import RedisRefused
    from jobd.locate import RedisSource
    from jobd.protocol.board import BoardWriter
    from jobd.worker.run.slots import Slots

BEAT_S = 1.0
"""How often the loop shows that it turns, while anything runs or is under way."""

IDLE_BEAT_S = 2.5
"""How often while nothing is. The daemon takes a loop for standing still after 5 s at the earliest."""

UNANSWERED_BEATS = 4
"""Beats after which a turn counts as lost. Not seconds: while a handler holds the GIL, the answer lies here unread."""


class FetchLoop:
    """Fetches and finishes for one worker.

    `report` is told when Redis goes away or comes back (up, why, which trouble), and with `up` true and a trouble when
    it refuses notes.
    """

    def __init__(
        self, source: RedisSource, keys: Keys, board: BoardWriter, *, worker_name: str, token_prefix: str,
        report: Callable[[bool, str | None, str | None], None],
    ) -> None:  # fmt: skip
        self.at_beat: Callable[[], None] = lambda: None
        """What else is to be looked at now and then; it shares the wake-up."""
        self._holder = Holder(keys, worker_name, token_prefix)
        self._board = board
        self._report = report
        client_name = f"jobd-turn:{token_prefix.rstrip(':')}"
        scripts = (script("turn"), script("annotate"))
        self._connection = Connection(source, client_name, scripts, self._closed, key=keys.base)
        self._clock = RedisClock()
        self._marker = MarkerWait(source, keys, worker_name, self, self._clock)
        self._slots: Slots
        self._policy: FetchPolicy
        self._turns: Turns
        self._lost: LostResults
        self._renewal: OwnRenewal
        self._outage = Outage(report)
        self._woken: asyncio.Future[None] | None = None
        self._signal = False
        """Whether there was a `wake` since the last sleep."""
        self._going = False
        """Whether handlers begin where an answer came in; what is next is looked at once all have."""
        self._failure: Exception | None = None
        """What a turn sent from a callback died of."""
        self._quieted: Callable[[], None] | None = None

    def attach(self, slots: Slots) -> None:
        """Serve these slots."""
        self._slots = slots
        slots.redis_now_ms = self._clock.now_ms
        self._policy = FetchPolicy(slots)
        self._policy.resized(slots.numbers.most)
        notes = Notes(self._holder.keys, slots.notes, refused=self._notes_refused)
        self._turns = Turns(
            self._connection, self._holder, policy=self._policy, slots=slots, notes=notes, board=self._board,
            nothing_left=self._nothing_left, direct=self._answered, unread=self._rouse,
        )  # fmt: skip
        self._lost = LostResults(self._turns, notes)
        self._renewal = OwnRenewal(
            self._connection, self._holder.keys, self._board, slots,
            may_ask=lambda: self._policy.link is Link.OPEN, lost=self._closed,
        )  # fmt: skip

    async def connect(self) -> bool:
        """Open the connection; return whether Redis is there. When not, the loop keeps trying."""
        try:
            await self._connection.open()
            await self._clock.follow(self._connection)
        except JobdError as error:
            self._outage.not_there_at_start(error)
            return False
        self._policy.recovered()
        return True

    # --- what the worker's life asks for -----------------------------------------------------------------------------

    def quiet(self, then: Callable[[], None] | None = None) -> None:
        """Take nothing more; `then` is called once no take is under way."""
        self._policy.ordered(Order.QUIET)
        self._quieted = then
        self.wake()

    def resume(self) -> None:
        """Take again."""
        self._policy.ordered(Order.TAKE)
        self._quieted = None
        self._marker.ask(None)
        self.wake()

    def end(self, then: Callable[[], None] | None = None) -> None:
        """End `run` as soon as every result in hand is in Redis and nothing runs; `then` as for `quiet`."""
        self._policy.ordered(Order.END)
        self._quieted = then
        self.wake()

    def look_again(self) -> None:
        """Ask for jobs again: there may be some, or more slots, or another limiter."""
        self._policy.resized(self._slots.numbers.most)
        self._policy.look_again()
        self.wake()

    def wake(self) -> None:
        """Look for something to do; harmless at any time on the loop's thread. Called for every job that ends."""
        self._signal = True
        policy = self._policy
        answer_comes = policy.turns and policy.order is Order.TAKE and self._failure is None
        if self._going or answer_comes or not self._is_asleep:
            # Somebody looks: `_answered`, or the loop at its next step or when the answer comes that it sleeps for.
            if policy.sends_another():
                self._send_now()
            return
        # Nothing else runs that could ride along: sent here and now, a turn of the event loop earlier.
        if not policy.turns and policy.has_news() and not self._slots.running and policy.link is Link.OPEN:
            self._send_now()
        if not (policy.turns and policy.rests() and self._failure is None):
            self._rouse()

    @property
    def _is_asleep(self) -> bool:
        return self._woken is not None and not self._woken.done()

    def _rouse(self, _: object = None) -> None:
        """End the loop's sleep."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _answered(self, results: list[Any]) -> bool:
        """Take the answer of a turn where it comes in, while the loop sleeps; it sleeps on where nothing more is to do.

        So a job costs one turn of the event loop and not four, unless its handler waits for something.
        """
        if not self._is_asleep:
            return False
        policy, step = self._policy, None
        try:
            self._turns.landed(results)
            self._outage.turn_answered()
            # Before the handlers: they may compute, and Redis works meanwhile.
            if (policy.has_news() or self._slots.free) and policy.next_step() is Step.SEND:
                self._turns.send()
            self._going = True
            self._slots.go()
            self._going = False
            step = policy.next_step()
            if step is Step.SEND:
                self._turns.send()
                step = None
        except Exception as error:
            # As in `_send_now`: the caller is the connection's transport.
            self._failure = error
        if self._failure is not None or not policy.rests(step):
            self._rouse()
        return True

    def _send_now(self) -> None:
        if self._turns.starting or not self._connection.is_open:
            return
        try:
            self._turns.send()
        except Exception as error:
            # The caller is a callback of the event loop, where it would end as a line in the log.
            self._failure = error
            self._rouse()

    async def run(self) -> None:
        """Turn until `end`, beating and waiting for markers beside it; what one of these dies of ends the worker."""
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(work) for work in (self._beat(), self._marker.run(), self._renewal.run())]
                await self._turn_until_over()
                for task in beside:
                    task.cancel()
        finally:
            self._marker.drop()
            self._connection.drop()

    async def _turn_until_over(self) -> None:
        while (step := self._policy.next_step()) is not Step.END:
            if self._failure is not None:
                raise self._failure
            if self._quieted is not None and self._policy.is_quiet():
                self._tell_quieted()
            try:
                await self._do(step)
            except JobdError as error:
                self._went_down(error)
            self._slots.go()
        await self._leave()

    async def _do(self, step: Step) -> None:
        if step is Step.SEND:
            self._turns.send()
        elif step is Step.READ and not self._turns.is_answered:
            await self._until_roused()
        elif step is Step.READ:
            await self._turns.read()
            self._outage.turn_answered()
        elif step is Step.SLEEP:
            await self._sleep()
        elif step is Step.RECHECK:
            await self._turns.recheck()
        elif step is Step.UNBLOCK:
            self._policy.ahead_is_due()
            await self._marker.unblock(self._connection)
            await self._marker.left()
        elif step is Step.REOPEN:
            await self._connection.open()
            if not self._policy.reopened():
                self._connection.drop()  # `_recover` opens it, and ends the lost one behind that
        elif step is Step.RECOVER:
            await self._recover()

    async def _leave(self) -> None:
        """Give back a marker that came in the last moment; without Redis there is none."""
        try:
            if self._connection.is_open:
                await self._marker.unblock(self._connection)
            await self._marker.left()
        except JobdError as error:
            log.debug("Redis went away at the end: %s", error)

    async def _sleep(self) -> None:
        """Do nothing until woken; a quiet worker waits for no marker meanwhile."""
        policy = self._policy
        if policy.order is not Order.TAKE:
            await self._marker.unblock(self._connection)
            self._marker.rest()
        if self._signal:
            self._signal = False
            return
        await self._until_roused(policy.limit_s())
        policy.slept()

    async def _until_roused(self, limit_s: float | None = None) -> None:
        """Sleep; `limit_s`: no longer than until the rate limit ends."""
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        timer = None if limit_s is None else loop.call_later(limit_s, self.look_again)
        try:
            await self._woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()

    def _tell_quieted(self) -> None:
        then, self._quieted = self._quieted, None
        if then is not None:
            then()

    def _nothing_left(self, next_due_ms: int | None) -> None:
        self._marker.ask(next_due_ms, busy=bool(self._slots.running))

    # --- what the wait for a marker asks (wait.Taker) ----------------------------------------------------------------

    def wants_marker(self) -> bool:
        """Whether a marker is of use."""
        return self._policy.wants_marker()

    def waited(self) -> None:
        """Show that Redis answers."""
        self._turns.heard()

    def turn_ahead(self, clock_ms: int) -> Command[TurnReply] | None:
        """Return the turn that goes behind the wait for a marker; None while anything runs or is under way."""
        return self._turns.ahead(clock_ms)

    def landed(self, reply: TurnReply) -> None:
        """Take what the turn sent ahead has brought."""
        self._turns.ahead_landed(reply)
        self._slots.go()
        self.wake()

    def lost_ahead(self, error: JobdError) -> None:
        """Look for what the turn sent ahead may have taken, as after any lost reply."""
        if self._policy.link is not Link.LOST:
            self._went_down(error)
            self.wake()

    # --- Redis away --------------------------------------------------------------------------------------------------

    def _closed(self) -> None:
        self._policy.connection_closed()
        self.wake()

    def _went_down(self, error: JobdError) -> None:
        """Give both connections up; what was under way is found again by `_recover`."""
        self._connection.drop()
        self._lost.add(self._turns.lost())
        self._policy.connection_lost(unsettled=self._lost.unsettled)
        # Else it would be found dead after the return, by a turn sent along, and that would pass for another outage.
        self._marker.drop()
        self._outage.turn_lost(error)

    async def _recover(self) -> None:
        """Reconnect, then find out what the lost turns did before anything new is asked for."""
        while not self._connection.is_open:
            if self._policy.order is not Order.TAKE:
                self._tell_quieted()
            if self._policy.is_over():
                return
            await asyncio.sleep(self._outage.pause_s())
            try:
                await self._connection.open()
                # A lost turn may still lie unread in its old connection; behind this it cannot run any more.
                await self._connection.end_lost([self._marker.connection])
            except JobdError as error:
                self._connection.drop()
                self._outage.try_failed(error)
        await self._lost.send(self._connection)
        held, lock_ms = self._slots.held(), self._slots.numbers.lock_ms
        jobs = await adopt(self._connection, self._holder, held=held, lock_ms=lock_ms)
        self._policy.recovered()
        self._turns.begin(jobs)
        self._turns.found()
        self._renewal.redis_is_back()
        self._outage.recovered(asks=self._policy.room() > 0)

    def _notes_refused(self, why: RedisRefused | None) -> None:
        self._report(True, None if why is None else str(why), None if why is None else why.trouble)

    # --- beside it ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Show that the loop turns; break off what Redis has left unanswered for too long."""
        unanswered: object | None = None
        beats = 0
        while True:
            now = time.monotonic()
            self._board.beat(now)
            self._turns.beat(now)
            oldest = self._connection.oldest
            beats = beats + 1 if oldest is not None and oldest is unanswered else int(oldest is not None)
            unanswered = oldest
            if beats >= UNANSWERED_BEATS:
                self._connection.drop()
            if self._marker.give_up_at and now > self._marker.give_up_at:
                self._marker.drop()
            self.at_beat()
            await self._renewal.sleep(IDLE_BEAT_S if oldest is None and not self._slots.running else BEAT_S)
